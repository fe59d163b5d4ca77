//! Credentials, and what is said when a request fails.

use super::*;
use crate::config::parse;

fn header(yaml: &str) -> Result<Option<String>> {
    let config: HttpConfig = parse(yaml, "f").map_err(Error::from)?;
    let client = Client::new(&config, Duration::from_secs(1))?;
    let request = client.get("http://127.0.0.1/")?.build().unwrap();
    let value = request.headers().get(AUTHORIZATION);
    Ok(value.map(|v| v.to_str().unwrap().to_owned()))
}

#[test]
fn credentials_become_a_header() {
    let check = |yaml: &str, value: Option<&str>| {
        assert_eq!(header(yaml).unwrap().as_deref(), value, "{yaml}");
    };
    check("", None);
    check("bearer_token: abc", Some("Bearer abc"));
    check("authorization: {credentials: abc}", Some("Bearer abc"));
    check(
        "authorization: {type: Token, credentials: abc}",
        Some("Token abc"),
    );
    check(
        "basic_auth: {username: u, password: 'p:w'}",
        Some("Basic dTpwOnc="),
    );
    check("basic_auth: {username: u}", Some("Basic dTo="));
}

#[test]
fn bad_credentials() {
    let check = |yaml: &str, message: &str| {
        assert_eq!(header(yaml).unwrap_err().message(), message, "{yaml}");
    };
    check(
        "{bearer_token: a, basic_auth: {username: u}}",
        "at most one of basic_auth, authorization and bearer_token must be set",
    );
    check(
        "basic_auth: {username: u, password: a, password_file: b}",
        "basic_auth: at most one of password and password_file must be set",
    );
    check(
        "authorization: {type: basic, credentials: abc}",
        "authorization: the type cannot be Basic; use basic_auth",
    );
    check(
        "bearer_token: \"a\\nb\"",
        "the credentials hold a character that no header can carry",
    );
    check(
        "bearer_token_file: /nonexistent",
        "cannot read the secret file /nonexistent: No such file or directory (os error 2)",
    );
}

#[test]
fn a_file_is_read_at_each_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let config = HttpConfig {
        bearer_token_file: Some(file.clone()),
        ..HttpConfig::default()
    };
    let client = Client::new(&config, Duration::from_secs(1)).unwrap();
    for token in ["one", "two"] {
        std::fs::write(&file, token).unwrap();
        let request = client.post("http://127.0.0.1/").unwrap().build().unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], format!("Bearer {token}"));
    }
    assert!(!format!("{client:?}").contains("two"));
}

#[tokio::test]
async fn failures_are_explained_without_the_url() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let client = Client::new(&HttpConfig::default(), Duration::from_millis(50)).unwrap();
    let url = format!("http://user:hunter2@{address}/");
    let silent = client.get(&url).unwrap().send().await.unwrap_err();
    assert_eq!(explain(&silent), "no answer in time");
    drop(taken);
    let refused = client.get(&url).unwrap().send().await.unwrap_err();
    assert_eq!(
        explain(&refused),
        "cannot connect: Connection refused (os error 111)"
    );
    let ours = unavailable("webhook \"ops\"", &refused);
    assert_eq!(ours.kind(), model::ErrorKind::Unavailable);
    assert_eq!(
        ours.message(),
        "webhook \"ops\": cannot connect: Connection refused (os error 111)"
    );
    assert!(client.get("no url").is_err());
}
