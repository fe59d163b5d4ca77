//! Who may do what: bearer tokens and basic users, each with read, write or admin.

use crate::http::error_for;
use crate::secret::{Secret, SecretSource};
use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, Request, Response};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{BoxFuture, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use subtle::ConstantTimeEq as _;

/// What a caller wants to do. Admin implies the other two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Ask: queries, dashboards, `/metrics`.
    Read,
    /// Send data.
    Write,
    /// Change settings: reload, delete, silence.
    Admin,
}

impl Access {
    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// The `auth:` section: who may come in. Without any entry everybody may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Callers who send `Authorization: Bearer TOKEN`.
    pub bearer: Vec<BearerToken>,
    /// Callers who send a user name and a password.
    pub basic: Vec<BasicUser>,
}

/// A token and what it opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearerToken {
    /// The token itself; write `"${NAME}"` to take it from the environment.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file that holds the token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// What the token opens.
    pub access: Vec<Access>,
}

/// A user and what the password opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicUser {
    /// The user's name.
    pub username: String,
    /// The password; write `"${NAME}"` to take it from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// What the password opens.
    pub access: Vec<Access>,
}

/// The checked list of who may come in. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Auth(Arc<[Entry]>);

#[derive(Debug)]
struct Entry {
    /// `Bearer` tokens stand alone, basic users as `user:password`.
    scheme: Scheme,
    secret: Secret,
    access: Vec<Access>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Basic,
}

impl Auth {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self::default()
    }
    /// Reads the secrets of a configuration.
    pub fn new(config: &AuthConfig) -> Result<Self> {
        let mut entries = Vec::new();
        for (i, bearer) in config.bearer.iter().enumerate() {
            let place = format!("auth.bearer[{i}]");
            let secret = read("token", bearer.token.as_ref(), bearer.token_file.as_ref(), &place)?;
            entries.push(Entry::new(Scheme::Bearer, secret, &bearer.access, &place)?);
        }
        for (i, user) in config.basic.iter().enumerate() {
            let place = format!("auth.basic[{i}]");
            if user.username.is_empty() || user.username.contains(':') {
                return Err(Error::bad_data("username must not be empty or hold a colon").within(place));
            }
            let password = read(
                "password",
                user.password.as_ref(),
                user.password_file.as_ref(),
                &place,
            )?;
            let both = Secret::new(format!("{}:{}", user.username, password.expose()));
            entries.push(Entry::new(Scheme::Basic, both, &user.access, &place)?);
        }
        Ok(Self(entries.into()))
    }
    /// Whether everybody may come in.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether the caller with these headers may do this; the error is
    /// [`ErrorKind::Unauthenticated`] or [`ErrorKind::Forbidden`] and says what is missing.
    pub fn check(&self, headers: &HeaderMap, wanted: Access) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let Some((scheme, given)) = credentials(headers)? else {
            return Err(unauthenticated(
                "this needs a token or a password: send Authorization: Bearer TOKEN, or user and password",
            ));
        };
        // Every entry is compared, so that the time says nothing about which one matched.
        let mut found: Option<&Entry> = None;
        for entry in self.0.iter() {
            let same: bool = entry.secret.expose().as_bytes().ct_eq(&given).into();
            if same && entry.scheme == scheme {
                found = Some(entry);
            }
        }
        match found {
            None => Err(unauthenticated(match scheme {
                Scheme::Bearer => "the token is not known",
                Scheme::Basic => "the user is not known or the password is wrong",
            })),
            Some(entry) if entry.allows(wanted) => Ok(()),
            Some(entry) => Err(Error::new(
                ErrorKind::Forbidden,
                format!(
                    "this needs {} access; the credentials that were sent give {}",
                    wanted.as_str(),
                    entry.describe()
                ),
            )),
        }
    }
    /// A layer that lets only callers with this access through; the others get 401 or 403 (or their gRPC codes).
    pub fn require(&self, access: Access) -> RequireLayer {
        RequireLayer {
            auth: self.clone(),
            access,
        }
    }
}

impl Entry {
    fn new(scheme: Scheme, secret: Secret, access: &[Access], place: &str) -> Result<Self> {
        if access.is_empty() {
            return Err(
                Error::bad_data("access is empty: list what it opens, for instance [read]").within(place),
            );
        }
        Ok(Self {
            scheme,
            secret,
            access: access.to_vec(),
        })
    }
    fn allows(&self, wanted: Access) -> bool {
        self.access.contains(&wanted) || self.access.contains(&Access::Admin)
    }
    fn describe(&self) -> String {
        let names: Vec<_> = self.access.iter().map(|a| a.as_str()).collect();
        names.join(" and ")
    }
}

fn read(key: &str, inline: Option<&Secret>, file: Option<&PathBuf>, place: &str) -> Result<Secret> {
    let source = SecretSource::pick(key, inline, file).and_then(|source| {
        source.ok_or_else(|| Error::bad_data(format!("one of {key} and {key}_file must be set")))
    });
    let secret = source.and_then(|s| s.read()).map_err(|e| e.within(place))?;
    if secret.expose().is_empty() {
        return Err(Error::bad_data(format!("{key} is empty")).within(place));
    }
    Ok(secret)
}

fn unauthenticated(message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message)
}

/// The scheme and the bytes to compare, `None` when the request carries no credentials.
fn credentials(headers: &HeaderMap) -> Result<Option<(Scheme, Vec<u8>)>> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let bad = || {
        unauthenticated(
            "the Authorization header cannot be read: send Bearer TOKEN, or Basic with base64 of user:password",
        )
    };
    let text = value.to_str().map_err(|_| bad())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(bad)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Some((Scheme::Bearer, rest.trim().as_bytes().to_vec())))
    } else if scheme.eq_ignore_ascii_case("basic") {
        let both = STANDARD.decode(rest.trim()).map_err(|_| bad())?;
        Ok(Some((Scheme::Basic, both)))
    } else {
        Err(bad())
    }
}

/// See [`Auth::require`].
#[derive(Debug, Clone)]
pub struct RequireLayer {
    auth: Auth,
    access: Access,
}

impl<S> tower::Layer<S> for RequireLayer {
    type Service = Require<S>;
    fn layer(&self, inner: S) -> Require<S> {
        Require {
            layer: self.clone(),
            inner,
        }
    }
}

/// The service that [`RequireLayer`] makes.
#[derive(Debug, Clone)]
pub struct Require<S> {
    layer: RequireLayer,
    inner: S,
}

impl<S, B> tower::Service<Request<B>> for Require<S>
where
    S: tower::Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }
    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.layer.auth.check(request.headers(), self.layer.access) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(error) => {
                let refused = error_for(request.headers(), &error);
                Box::pin(std::future::ready(Ok(refused)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
