//! Tests of the error table and of the tenant header.

use super::*;
use std::time::Duration;

#[test]
fn each_kind_has_its_statuses() {
    let check = |kind, http: u16, grpc: i32| {
        let error = Error::new(kind, "x");
        assert_eq!(
            (status_of(&error).as_u16(), grpc_code_of(&error)),
            (http, grpc),
            "{kind:?}"
        );
    };
    check(ErrorKind::BadData, 400, 3);
    check(ErrorKind::Unauthenticated, 401, 16);
    check(ErrorKind::Forbidden, 403, 7);
    check(ErrorKind::NotFound, 404, 5);
    check(ErrorKind::TooLarge, 413, 3);
    check(ErrorKind::Unsupported, 415, 12);
    check(ErrorKind::Execution, 422, 9);
    check(ErrorKind::LimitReached, 429, 8);
    check(ErrorKind::Cancelled, 499, 1);
    check(ErrorKind::Unavailable, 503, 14);
    check(ErrorKind::Timeout, 504, 4);
    check(ErrorKind::Corrupt, 500, 13);
    check(ErrorKind::Internal, 500, 13);
    assert_eq!(query_status_of(&Error::limit("x")), 422);
    assert_eq!(query_status_of(&Error::bad_data("x")), 400);
}

#[test]
fn waiting_times_are_rounded_up() {
    let check = |wait: Duration, header: &str| {
        let response = plain_error(&Error::unavailable("full", wait));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], header);
    };
    check(Duration::from_secs(10), "10");
    check(Duration::from_millis(1001), "2");
    check(Duration::ZERO, "1");
    assert!(retry_after(&Error::bad_data("x")).is_none());
}

#[tokio::test]
async fn an_error_answers_in_the_language_of_the_request() {
    let error = Error::new(ErrorKind::Forbidden, "100% né");
    let plain = error_for(&HeaderMap::new(), &error);
    assert_eq!(plain.status(), 403);
    let body = axum::body::to_bytes(plain.into_body(), 100).await.unwrap();
    assert_eq!(body, "100% né\n".as_bytes());

    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc+proto"));
    let grpc = error_for(&headers, &error);
    assert_eq!(grpc.status(), 200);
    assert_eq!(grpc.headers()["grpc-status"], "7");
    assert_eq!(grpc.headers()["grpc-message"], "100%25 n%C3%A9");
}

#[test]
fn the_tenant_comes_from_its_header() {
    let of = |value: Option<&[u8]>| {
        let mut headers = HeaderMap::new();
        if let Some(v) = value {
            headers.insert(TENANT_HEADER, HeaderValue::from_bytes(v).unwrap());
        }
        tenant_of(&headers)
            .map(|t| t.to_string())
            .map_err(|e| e.message().to_owned())
    };
    assert_eq!(of(None).unwrap(), "default");
    assert_eq!(of(Some(b"team-a")).unwrap(), "team-a");
    assert!(
        of(Some(b"a/b"))
            .unwrap_err()
            .starts_with("header X-Scope-OrgID: tenant \"a/b\"")
    );
    assert!(of(Some(b"\xff")).is_err());
}

#[test]
fn a_script_of_a_page_is_not_asked_for_a_password() {
    let challenges = |headers: &HeaderMap| {
        let error = Error::new(ErrorKind::Unauthenticated, "no");
        let response = error_for(headers, &error);
        let all = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
        all.map(|v| v.to_str().unwrap().split(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(challenges(&HeaderMap::new()), ["Basic", "Bearer"]);
    let mut script = HeaderMap::new();
    script.insert("sec-fetch-dest", HeaderValue::from_static("empty"));
    assert_eq!(challenges(&script), ["Bearer"]);
}
