//! The table of who may do what.

use super::*;
use axum::Router;
use axum::routing::get;
use tower::ServiceExt as _;

const CONFIG: &str = r#"
bearer:
  - {token: reader, access: [read]}
  - {token: agent, access: [write]}
  - {token: root, access: [admin]}
basic:
  - {username: ops, password: "p:w", access: [read, write]}
"#;

fn auth() -> Auth {
    Auth::new(&crate::config::parse(CONFIG, "auth.yml").unwrap()).unwrap()
}

fn headers(authorization: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !authorization.is_empty() {
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
    }
    headers
}

fn basic(both: &str) -> String {
    format!("Basic {}", STANDARD.encode(both))
}

#[test]
fn the_table() {
    let auth = auth();
    let check = |authorization: &str, opens: [bool; 3]| {
        for (access, expected) in [Access::Read, Access::Write, Access::Admin]
            .into_iter()
            .zip(opens)
        {
            let answer = auth.check(&headers(authorization), access);
            assert_eq!(answer.is_ok(), expected, "{authorization} {access:?}");
            if let Err(e) = answer {
                assert_eq!(e.kind(), ErrorKind::Forbidden, "{authorization} {access:?}");
            }
        }
    };
    check("Bearer reader", [true, false, false]);
    check("bearer  agent", [false, true, false]);
    check("Bearer root", [true, true, true]);
    check(&basic("ops:p:w"), [true, true, false]);
}

#[test]
fn strangers_are_told_why() {
    let auth = auth();
    let check = |authorization: &str, message: &str| {
        let error = auth.check(&headers(authorization), Access::Read).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Unauthenticated, message)
        );
    };
    let unreadable =
        "the Authorization header cannot be read: send Bearer TOKEN, or Basic with base64 of user:password";
    check(
        "",
        "this needs a token or a password: send Authorization: Bearer TOKEN, or user and password",
    );
    check("Bearer nobody", "the token is not known");
    check("Bearer reade", "the token is not known");
    check("Bearer readerr", "the token is not known");
    // A password is no token, and a token is no password.
    check("Bearer ops:p:w", "the token is not known");
    check(&basic("reader"), "the user is not known or the password is wrong");
    check(&basic("ops:p"), "the user is not known or the password is wrong");
    check(
        &basic("Ops:p:w"),
        "the user is not known or the password is wrong",
    );
    check("Basic !!!", unreadable);
    check("Digest x", unreadable);
    check("Bearer", unreadable);
    let forbidden = auth
        .check(&headers(&basic("ops:p:w")), Access::Admin)
        .unwrap_err();
    assert_eq!(
        forbidden.message(),
        "this needs admin access; the credentials that were sent give read and write"
    );
}

#[test]
fn without_entries_everybody_may() {
    let open = Auth::new(&AuthConfig::default()).unwrap();
    assert!(open.is_open() && Auth::open().is_open() && !auth().is_open());
    assert!(open.check(&headers("Digest x"), Access::Admin).is_ok());
}

#[test]
fn bad_configurations() {
    let check = |text: &str, message: &str| {
        let config: AuthConfig = crate::config::parse(text, "f").unwrap();
        assert_eq!(Auth::new(&config).unwrap_err().message(), message);
    };
    check(
        "bearer: [{access: [read]}]",
        "auth.bearer[0]: one of token and token_file must be set",
    );
    check(
        "bearer: [{token: a, access: [read]}, {token: a, token_file: b, access: [read]}]",
        "auth.bearer[1]: at most one of token and token_file must be set",
    );
    check(
        "bearer: [{token: a, access: []}]",
        "auth.bearer[0]: access is empty: list what it opens, for instance [read]",
    );
    check(
        "bearer: [{token: '', access: [read]}]",
        "auth.bearer[0]: token is empty",
    );
    check(
        "basic: [{username: 'a:b', password: p, access: [read]}]",
        "auth.basic[0]: username must not be empty or hold a colon",
    );
    check(
        "basic: [{username: a, password_file: /nonexistent, access: [read]}]",
        "auth.basic[0]: cannot read the secret file /nonexistent: No such file or directory (os error 2)",
    );
    let unknown = crate::config::parse::<AuthConfig>("bearer: [{token: a, access: [all]}]", "f");
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("expected one of read, write, admin")
    );
}

#[tokio::test]
async fn the_layer_guards_a_router() {
    let router = Router::new()
        .route("/", get(|| async { "in" }))
        .layer(auth().require(Access::Write));
    let status = async |authorization: &str, grpc: bool| {
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        *request.headers_mut() = headers(authorization);
        if grpc {
            request
                .headers_mut()
                .insert("content-type", "application/grpc".parse().unwrap());
        }
        router.clone().oneshot(request).await.unwrap()
    };
    assert_eq!(status("Bearer agent", false).await.status(), 200);
    let forbidden = status("Bearer reader", false).await;
    assert_eq!(forbidden.status(), 403);
    let refused = status("", false).await;
    assert_eq!(refused.status(), 401);
    let challenges: Vec<_> = refused.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(
        challenges,
        [
            "Basic realm=\"binnacle\", charset=\"UTF-8\"",
            "Bearer realm=\"binnacle\""
        ]
    );
    assert_eq!(status("", true).await.headers()["grpc-status"], "16");
    assert_eq!(status("Bearer reader", true).await.headers()["grpc-status"], "7");
}
