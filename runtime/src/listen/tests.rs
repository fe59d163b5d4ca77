//! Listeners over real sockets on 127.0.0.1.

use super::*;
use crate::client::{Client, HttpConfig};
use crate::tls::tests::TestAuthority;
use crate::tls::{ClientTls, server_config};
use crate::{AuthConfig, Registry};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    registry: Registry,
}

impl Running {
    async fn start(router: Router, options: Options) -> Self {
        let bound = bind("127.0.0.1:0".parse().unwrap(), "--listen").await.unwrap();
        let (address, stop) = (bound.address(), CancellationToken::new());
        let registry = Registry::new("test", "1");
        let task = tokio::spawn({
            let (registry, stop) = (registry.clone(), stop.clone());
            async move { serve(bound, router, options, &registry, stop).await }
        });
        Self {
            address,
            stop,
            task,
            registry,
        }
    }
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
    fn failed(&self, reason: &str) -> u64 {
        self.registry.counter(&FAILED, &["test", reason]).get()
    }
    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/", self.address.port())
    }
}

fn options() -> Options {
    Options::new("test")
}

fn hello() -> Router {
    let peer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/peer", get(peer))
}

fn client(tls_config: ClientTls) -> Client {
    let config = HttpConfig {
        tls_config,
        ..HttpConfig::default()
    };
    Client::new(&config, Duration::from_secs(10)).unwrap()
}

/// The answer's version and body, or what went wrong.
async fn fetch(client: &Client, url: &str) -> Result<(::http::Version, String), String> {
    let answer = client.get(url).unwrap().send().await;
    let answer = answer.map_err(|e| crate::client::explain(&e))?;
    let version = answer.version();
    Ok((version, answer.text().await.map_err(|e| e.to_string())?))
}

#[tokio::test]
async fn plain_text_speaks_both_versions() {
    let server = Running::start(hello(), options()).await;
    let url = server.url("http", "127.0.0.1");
    let (version, body) = fetch(&client(ClientTls::default()), &url).await.unwrap();
    assert_eq!((version, body.as_str()), (::http::Version::HTTP_11, "hello"));
    let (_, peer) = fetch(&client(ClientTls::default()), &format!("{url}peer"))
        .await
        .unwrap();
    assert_eq!(peer, "127.0.0.1");

    crate::tls::install_provider();
    let prior_knowledge = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let answer = prior_knowledge.get(&url).send().await.unwrap();
    assert_eq!(answer.version(), ::http::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "hello");
    drop(prior_knowledge);
    server.stop().await;
}

#[tokio::test]
async fn tls_checks_the_certificate_and_the_name() {
    let authority = TestAuthority::new();
    let mut with_tls = options();
    with_tls.tls = Some(server_config(&authority.server("localhost")).unwrap());
    let server = Running::start(hello(), with_tls).await;
    let (good, other) = (server.url("https", "localhost"), server.url("https", "127.0.0.1"));

    let trusting = client(authority.client());
    let (version, body) = fetch(&trusting, &good).await.unwrap();
    assert_eq!((version, body.as_str()), (::http::Version::HTTP_2, "hello"));

    let says = |answer: Result<_, String>, what: &str| {
        let error = answer.unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    says(fetch(&trusting, &other).await, "certificate");
    let named = ClientTls {
        server_name: Some("localhost".into()),
        ..authority.client()
    };
    assert!(fetch(&client(named), &other).await.is_ok());
    let stranger = TestAuthority::new();
    says(fetch(&client(stranger.client()), &good).await, "certificate");
    let careless = ClientTls {
        insecure_skip_verify: true,
        ..ClientTls::default()
    };
    assert!(fetch(&client(careless), &other).await.is_ok());
    // Bad handshakes are counted and harm nobody else.
    says(
        fetch(&client(ClientTls::default()), &server.url("http", "localhost")).await,
        "",
    );
    assert!(fetch(&trusting, &good).await.is_ok());
    assert!(server.failed("tls") >= 3, "{}", server.failed("tls"));
    drop(trusting);
    server.stop().await;
}

#[tokio::test]
async fn client_certificates_are_asked_for() {
    let authority = TestAuthority::new();
    let mut tls = authority.server("localhost");
    tls.client_ca_file = Some(authority.ca_file());
    let mut with_tls = options();
    with_tls.tls = Some(server_config(&tls).unwrap());
    let server = Running::start(hello(), with_tls).await;
    let url = server.url("https", "localhost");
    let with_certificate = |from: &TestAuthority| {
        let (cert, key) = from.issue("client", "agent");
        ClientTls {
            cert_file: Some(cert),
            key_file: Some(key),
            ..authority.client()
        }
    };
    assert!(fetch(&client(authority.client()), &url).await.is_err());
    assert!(
        fetch(&client(with_certificate(&TestAuthority::new())), &url)
            .await
            .is_err()
    );
    assert!(fetch(&client(with_certificate(&authority)), &url).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_up() {
    let authority = TestAuthority::new();
    let tls = authority.server("old.test");
    let mut with_tls = options();
    with_tls.tls = Some(server_config(&tls).unwrap());
    let server = Running::start(hello(), with_tls).await;
    let url = server.url("https", "localhost");
    let expecting = |name: &str| {
        client(ClientTls {
            server_name: Some(name.to_owned()),
            ..authority.client()
        })
    };
    assert!(fetch(&expecting("old.test"), &url).await.is_ok());
    std::fs::write(&tls.cert_file, "half written").unwrap();
    assert!(fetch(&expecting("old.test"), &url).await.is_ok());
    authority.issue("server", "brand-new.test");
    assert!(fetch(&expecting("brand-new.test"), &url).await.is_ok());
    assert!(fetch(&expecting("old.test"), &url).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn requests_in_flight_end_before_the_server_does() {
    let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let slow = {
        let release = release.clone();
        move || {
            let (entered, release) = (entered.clone(), release.clone());
            async move {
                entered.send(()).await.unwrap();
                release.notified().await;
                "done"
            }
        }
    };
    let server = Running::start(Router::new().route("/", get(slow)), options()).await;
    let url = server.url("http", "127.0.0.1");
    let request = tokio::spawn(async move { fetch(&client(ClientTls::default()), &url).await });
    has_entered.recv().await.unwrap();
    server.stop.cancel();
    // New connections are refused as soon as the listener is gone, and the old one still gets its answer.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    assert_eq!(request.await.unwrap().unwrap().1, "done");
    server.task.await.unwrap();
}

#[tokio::test]
async fn draining_ends_at_its_deadline() {
    let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
    let hang = move || {
        let entered = entered.clone();
        async move {
            entered.send(()).await.unwrap();
            std::future::pending::<&'static str>().await
        }
    };
    let mut short = options();
    short.drain = Duration::from_millis(20);
    let server = Running::start(Router::new().route("/", get(hang)), short).await;
    let url = server.url("http", "127.0.0.1");
    let request = tokio::spawn(async move { fetch(&client(ClientTls::default()), &url).await });
    has_entered.recv().await.unwrap();
    server.stop.cancel();
    let Running { task, registry, .. } = server;
    task.await.unwrap();
    assert!(request.await.unwrap().is_err());
    assert_eq!(registry.counter(&FAILED, &["test", "drain"]).get(), 1);
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let mut short = options();
    short.header_timeout = Duration::from_millis(30);
    short.max_connections = 1;
    let server = Running::start(hello(), short).await;
    // Nothing at all, and the beginning of a head: both are closed by the server, one after the other since
    // there is room for one.
    for sent in ["", "P", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Whether the end comes as FIN or as RST does not matter.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    let url = server.url("http", "127.0.0.1");
    assert!(fetch(&client(ClientTls::default()), &url).await.is_ok());
    assert!(server.failed("idle") >= 2);
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let first = bind("127.0.0.1:0".parse().unwrap(), "--listen").await.unwrap();
    let address = first.address();
    let error = bind(address, "--otlp-grpc").await.unwrap_err();
    assert_eq!(
        error.message(),
        format!(
            "cannot listen on {address}: another program has this port; choose another address with --otlp-grpc"
        )
    );
}

#[test]
fn the_exposure_table() {
    let open = Auth::open();
    let config: AuthConfig = crate::config::parse("bearer: [{token: t, access: [read]}]", "f").unwrap();
    let closed = Auth::new(&config).unwrap();
    let plain_tls = ServerTls {
        cert_file: "c".into(),
        key_file: "k".into(),
        client_ca_file: None,
    };
    let mutual_tls = ServerTls {
        client_ca_file: Some("ca".into()),
        ..plain_tls.clone()
    };
    let check = |address: &str, auth: &Auth, tls: Option<&ServerTls>, insecure: bool, allowed: bool| {
        let answer = check_exposure(address.parse().unwrap(), "--listen", auth, tls, insecure);
        assert_eq!(answer.is_ok(), allowed, "{address} {auth:?} {tls:?} {insecure}");
    };
    for loopback in [
        "127.0.0.1:9090",
        "127.8.9.1:1",
        "[::1]:9090",
        "[::ffff:127.0.0.1]:1",
    ] {
        check(loopback, &open, None, false, true);
    }
    for outside in ["0.0.0.0:9090", "192.168.1.7:9090", "[::]:9090", "[fe80::1]:1"] {
        check(outside, &open, None, false, false);
        check(outside, &open, Some(&plain_tls), false, false);
        check(outside, &open, Some(&mutual_tls), false, true);
        check(outside, &open, None, true, true);
        check(outside, &closed, None, false, true);
        check(outside, &closed, Some(&plain_tls), false, true);
    }
    let error = check_exposure("0.0.0.0:9090".parse().unwrap(), "--listen", &open, None, false).unwrap_err();
    assert_eq!(
        error.message(),
        "0.0.0.0:9090 (--listen) can be reached from other machines, and nothing keeps strangers out: set auth in \
         the configuration (bearer tokens or basic users), or listen on 127.0.0.1, or say --insecure"
    );
}
