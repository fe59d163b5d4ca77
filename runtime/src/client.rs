//! HTTP clients: TLS, credentials and timeouts around `reqwest`.

use crate::secret::{Secret, SecretSource};
use crate::tls::{ClientTls, client_config};
use ::http::HeaderValue;
use ::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How to reach another server: Prometheus' `http_config`, whose keys also stand directly in `scrape_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// An `Authorization` header with a type of its own.
    pub authorization: Option<Authorization>,
    /// Short for `authorization` with the type Bearer.
    pub bearer_token: Option<Secret>,
    /// As `bearer_token`, from a file.
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    pub tls_config: ClientTls,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 may be spoken.
    pub enable_http2: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            tls_config: ClientTls::default(),
            follow_redirects: true,
            enable_http2: true,
        }
    }
}

/// `basic_auth:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
}

/// `authorization:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authorization {
    /// The scheme, `Bearer` when left out.
    pub r#type: String,
    /// What follows the scheme.
    pub credentials: Option<Secret>,
    /// A file that holds it.
    pub credentials_file: Option<PathBuf>,
}

impl Default for Authorization {
    fn default() -> Self {
        Self {
            r#type: "Bearer".to_owned(),
            credentials: None,
            credentials_file: None,
        }
    }
}

/// Credentials that are put on each request; files are read anew each time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Credentials {
    None,
    Basic {
        username: String,
        password: Option<SecretSource>,
    },
    Scheme {
        scheme: String,
        source: SecretSource,
    },
}

impl Credentials {
    fn of(config: &HttpConfig) -> Result<Self> {
        let bearer = SecretSource::pick(
            "bearer_token",
            config.bearer_token.as_ref(),
            config.bearer_token_file.as_ref(),
        )?;
        let ways = [
            config.basic_auth.is_some(),
            config.authorization.is_some(),
            bearer.is_some(),
        ];
        if ways.iter().filter(|set| **set).count() > 1 {
            return Err(Error::bad_data(
                "at most one of basic_auth, authorization and bearer_token must be set",
            ));
        }
        if let Some(basic) = &config.basic_auth {
            let password =
                SecretSource::pick("password", basic.password.as_ref(), basic.password_file.as_ref())
                    .map_err(|e| e.within("basic_auth"))?;
            return Ok(Self::Basic {
                username: basic.username.clone(),
                password,
            });
        }
        let scheme = |scheme: &str, source| Self::Scheme {
            scheme: scheme.to_owned(),
            source,
        };
        if let Some(authorization) = &config.authorization {
            if authorization.r#type.eq_ignore_ascii_case("basic") {
                return Err(Error::bad_data(
                    "authorization: the type cannot be Basic; use basic_auth",
                ));
            }
            let source = SecretSource::pick(
                "credentials",
                authorization.credentials.as_ref(),
                authorization.credentials_file.as_ref(),
            )
            .map_err(|e| e.within("authorization"))?;
            return Ok(source.map_or(Self::None, |s| scheme(&authorization.r#type, s)));
        }
        Ok(bearer.map_or(Self::None, |s| scheme("Bearer", s)))
    }
    fn header(&self) -> Result<Option<HeaderValue>> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Basic { username, password } => {
                let password = password.as_ref().map(SecretSource::read).transpose()?;
                let password = password.as_ref().map_or("", Secret::expose);
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
            Self::Scheme { scheme, source } => format!("{scheme} {}", source.read()?.expose()),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Error::bad_data("the credentials hold a character that no header can carry"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// A client with its credentials. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    credentials: Credentials,
}

impl Client {
    /// Builds a client. `timeout` is for a whole request with its answer; single requests may set a shorter one.
    /// Answers are unpacked by whoever asked, never by the client, so that the caller's limits hold.
    pub fn new(config: &HttpConfig, timeout: Duration) -> Result<Self> {
        let redirects = if config.follow_redirects {
            reqwest::redirect::Policy::limited(10)
        } else {
            reqwest::redirect::Policy::none()
        };
        let mut tls = client_config(&config.tls_config)?;
        let mut builder = reqwest::Client::builder();
        if !config.enable_http2 {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            builder = builder.http1_only();
        }
        let inner = builder
            .tls_backend_preconfigured(tls)
            .redirect(redirects)
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_idle_timeout(Duration::from_secs(90))
            .no_proxy()
            .no_gzip()
            .user_agent(concat!("binnacle/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::internal(format!("cannot build an HTTP client: {}", explain(&e))))?;
        Ok(Self {
            inner,
            credentials: Credentials::of(config)?,
        })
    }
    /// Starts a GET request.
    pub fn get(&self, url: &str) -> Result<reqwest::RequestBuilder> {
        self.request(reqwest::Method::GET, url)
    }
    /// Starts a POST request.
    pub fn post(&self, url: &str) -> Result<reqwest::RequestBuilder> {
        self.request(reqwest::Method::POST, url)
    }
    /// Starts a request with the client's credentials. Fails when the URL cannot be read or a file with a
    /// secret is not there.
    pub fn request(&self, method: reqwest::Method, url: &str) -> Result<reqwest::RequestBuilder> {
        let url =
            reqwest::Url::parse(url).map_err(|e| Error::bad_data(format!("{url:?} is not a URL: {e}")))?;
        let request = self.inner.request(method, url);
        Ok(match self.credentials.header()? {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        })
    }
}

/// What went wrong with a request, down to the cause (`connection refused`, `certificate has expired`), without
/// the URL, which may hold a password.
pub fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    let mut deepest = None;
    while let Some(next) = cause.source() {
        deepest = Some(next.to_string());
        cause = next;
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else if error.is_redirect() {
        "too many redirects"
    } else if error.is_body() || error.is_decode() {
        "the body broke off"
    } else {
        "the request failed"
    };
    deepest.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}"))
}

/// An error of `reqwest` as one of ours: [`model::ErrorKind::Unavailable`], since another try may go well.
pub fn unavailable(place: &str, error: &reqwest::Error) -> Error {
    Error::unavailable(explain(error), Duration::from_secs(1)).within(place)
}

#[cfg(test)]
mod tests;
