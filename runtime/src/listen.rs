//! Listeners: an axum router on a TCP port, with optional TLS, limits and a graceful end.

use crate::auth::Auth;
use crate::tls::ServerTls;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use model::{Counter, Error, Gauge, Meter, MetricDef, MetricKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;
/// Bytes of the head of one request.
const MAX_HEADER_BYTES: usize = 64 << 10;

static OPEN: MetricDef = MetricDef {
    name: "binnacle_http_connections",
    help: "Connections that are open, by listener.",
    kind: MetricKind::Gauge,
    labels: &["listener"],
};
static FAILED: MetricDef = MetricDef {
    name: "binnacle_http_connections_failed_total",
    help: "Connections that ended badly, by listener and reason (accept, tls, idle, protocol, drain).",
    kind: MetricKind::Counter,
    labels: &["listener", "reason"],
};

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// A short name for metrics and logs, for instance `main` or `otlp_grpc`.
    pub name: &'static str,
    /// From [`crate::tls::server_config`]; `None` speaks plain text.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections that may be open; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for the head of a request, and for the first request of a connection to come.
    pub header_timeout: Duration,
    /// Time that requests get to end after the shutdown began.
    pub drain: Duration,
}

impl Options {
    /// Usual limits, without TLS.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            tls: None,
            max_connections: 4096,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// A port that is taken and not yet served, so that everything else can still fail first.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes a port. The error names the address and the flag that changes it, for instance `--listen`.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<Bound> {
    let because = |e: std::io::Error| {
        let reason = match e.kind() {
            std::io::ErrorKind::AddrInUse => "another program has this port".to_owned(),
            std::io::ErrorKind::AddrNotAvailable => "this machine does not have this address".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "not allowed; ports below 1024 need special rights".to_owned()
            }
            _ => e.to_string(),
        };
        Error::unavailable(
            format!("cannot listen on {address}: {reason}; choose another address with {flag}"),
            Duration::from_secs(1),
        )
    };
    let listener = TcpListener::bind(address).await.map_err(because)?;
    let address = listener.local_addr().map_err(because)?;
    Ok(Bound { listener, address })
}

/// Refuses an address that others can reach when nothing keeps them out: it needs credentials, or client
/// certificates, or an explicit `--insecure`. `flag` is the one that sets the address.
pub fn check_exposure(
    address: SocketAddr,
    flag: &str,
    auth: &Auth,
    tls: Option<&ServerTls>,
    insecure: bool,
) -> Result<()> {
    let client_certificates = tls.is_some_and(|t| t.client_ca_file.is_some());
    if address.ip().to_canonical().is_loopback() || insecure || client_certificates {
        return Ok(());
    }
    if auth.is_open() {
        return Err(Error::bad_data(format!(
            "{address} ({flag}) can be reached from other machines, and nothing keeps strangers out: set auth in \
             the configuration (bearer tokens or basic users), or listen on 127.0.0.1, or say --insecure"
        )));
    }
    if tls.is_none() {
        tracing::warn!(
            "{address} ({flag}) takes tokens and passwords over plain text; set tls to protect them"
        );
    }
    Ok(())
}

/// Serves a router until the token is cancelled; then takes no new connections, lets requests end within
/// [`Options::drain`], and returns. HTTP/1.1 and HTTP/2 (by ALPN, or by prior knowledge on plain text) share the
/// port. Requests carry [`ConnectInfo`] with the peer's address.
pub async fn serve(
    bound: Bound,
    router: Router,
    options: Options,
    meter: &dyn Meter,
    shutdown: CancellationToken,
) {
    let server = Arc::new(Server::new(router, options, meter));
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(server.options.max_connections.max(1)));
    let kill = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&bound.listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let connection = server.clone().connection(stream, peer, graceful.watcher(), slot);
                let kill = kill.clone();
                tokio::spawn(async move { kill.run_until_cancelled(connection).await });
            }
            Err(e) => {
                server.failed[ACCEPT].inc();
                tracing::warn!(listener = server.options.name, "cannot take a connection: {e}");
                // Usually too many open files: wait a little instead of spinning.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(bound);
    let open = graceful.count();
    if tokio::time::timeout(server.options.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            listener = server.options.name,
            connections = open,
            "cutting off connections that did not end in time"
        );
        server.failed[DRAIN].inc();
        kill.cancel();
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await;
    let slot = slot.expect("the semaphore is never closed");
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

const REASONS: [&str; 5] = ["accept", "tls", "idle", "protocol", "drain"];
const ACCEPT: usize = 0;
const TLS: usize = 1;
const IDLE: usize = 2;
const PROTOCOL: usize = 3;
const DRAIN: usize = 4;

struct Server {
    router: Router,
    options: Options,
    tls: Option<TlsAcceptor>,
    http: auto::Builder<TokioExecutor>,
    open: Gauge,
    failed: [Counter; REASONS.len()],
}

impl Server {
    fn new(router: Router, options: Options, meter: &dyn Meter) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_buf_size(MAX_HEADER_BYTES * 2);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).expect("a small constant"))
            .adaptive_window(true)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        let name = options.name;
        Self {
            router,
            tls: options.tls.clone().map(TlsAcceptor::from),
            http,
            open: meter.gauge(&OPEN, &[name]),
            failed: REASONS.map(|reason| meter.counter(&FAILED, &[name, reason])),
            options,
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        _slot: OwnedSemaphorePermit,
    ) {
        let _open = OpenGuard::new(&self.open);
        let Some(acceptor) = &self.tls else {
            return self.serve_stream(stream, peer, watcher).await;
        };
        match tokio::time::timeout(self.options.handshake_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.serve_stream(stream, peer, watcher).await,
            Ok(Err(e)) => self.fail(TLS, peer, &format!("the TLS handshake failed: {e}")),
            Err(_) => self.fail(TLS, peer, "the TLS handshake took too long"),
        }
    }

    async fn serve_stream<S>(&self, stream: S, peer: SocketAddr, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let seen = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (router, seen) = (self.router.clone(), seen.clone());
            move |mut request: hyper::Request<Incoming>| {
                seen.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(ConnectInfo(peer));
                router.clone().oneshot(request)
            }
        });
        let connection = self
            .http
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = watcher.watch(connection);
        let mut connection = std::pin::pin!(connection);
        // A connection whose first request does not come is closed; hyper itself only times the rest.
        let first = tokio::time::timeout(self.options.header_timeout, connection.as_mut()).await;
        let outcome = match first {
            Ok(outcome) => outcome,
            Err(_) if !seen.load(Ordering::Relaxed) => {
                return self.fail(IDLE, peer, "no request came in time");
            }
            Err(_) => connection.await,
        };
        if let Err(e) = outcome {
            self.fail(PROTOCOL, peer, &e.to_string());
        }
    }

    fn fail(&self, reason: usize, peer: SocketAddr, what: &str) {
        self.failed[reason].inc();
        tracing::debug!(listener = self.options.name, %peer, "connection ended: {what}");
    }
}

struct OpenGuard<'a>(&'a Gauge);

impl<'a> OpenGuard<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.add(1);
        Self(gauge)
    }
}
impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

#[cfg(test)]
mod tests;
