//! The health service on the port of OTLP over gRPC, asked as Kubernetes and load balancers do.

use crate::common::Server;
use runtime::auth::{Access, Auth, AuthConfig};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const LOGS: &str = "opentelemetry.proto.collector.logs.v1.LogsService";

/// A server whose data needs a token, as a program mounts it.
async fn start(shutdown: &CancellationToken) -> (Server, Channel) {
    let config: AuthConfig = serde_json::from_value(serde_json::json!({
        "bearer": [{ "token": "t", "access": ["write"] }]
    }))
    .unwrap();
    let auth = Auth::new(&config).unwrap();
    let shutdown = shutdown.clone();
    let s = Server::start(|options, sinks| {
        receive::otlp_grpc(options, sinks)
            .route_layer(auth.require(Access::Write))
            .merge(runtime::health::Health::default().router())
            .merge(receive::grpc_health(shutdown))
    })
    .await;
    let channel = Channel::from_shared(format!("http://{}", s.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    (s, channel)
}

async fn ask(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await?;
    Ok(answer.into_inner().status())
}

#[tokio::test]
async fn it_serves_until_the_shutdown() {
    let shutdown = CancellationToken::new();
    let (_s, channel) = start(&shutdown).await;
    let services = [
        "",
        LOGS,
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        "opentelemetry.proto.collector.trace.v1.TraceService",
    ];
    for service in services {
        assert_eq!(ask(&channel, service).await.unwrap(), ServingStatus::Serving);
    }
    let e = ask(&channel, "nobody").await.unwrap_err();
    assert_eq!(
        (e.code(), e.message()),
        (Code::NotFound, "there is no service \"nobody\" here")
    );
    let e = ask(&channel, &"x".repeat(2000)).await.unwrap_err();
    assert_eq!(e.code(), Code::OutOfRange);
    shutdown.cancel();
    for service in services {
        assert_eq!(ask(&channel, service).await.unwrap(), ServingStatus::NotServing);
    }
}

#[tokio::test]
async fn a_watcher_sees_the_shutdown_and_does_not_hold_it_up() {
    let shutdown = CancellationToken::new();
    let (_s, channel) = start(&shutdown).await;
    let watch = async |service: &str| {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = HealthClient::new(channel.clone()).watch(request).await;
        answer.unwrap().into_inner()
    };
    let (mut known, mut unknown) = (watch(LOGS).await, watch("nobody").await);
    let first = known.message().await.unwrap().unwrap().status();
    assert_eq!(first, ServingStatus::Serving);
    let first = unknown.message().await.unwrap().unwrap().status();
    assert_eq!(first, ServingStatus::ServiceUnknown);
    shutdown.cancel();
    let next = known.message().await.unwrap().unwrap().status();
    assert_eq!(next, ServingStatus::NotServing);
    assert_eq!(known.message().await.unwrap(), None);
    assert_eq!(unknown.message().await.unwrap(), None);
    let mut late = watch("").await;
    let only = late.message().await.unwrap().unwrap().status();
    assert_eq!(only, ServingStatus::NotServing);
    assert_eq!(late.message().await.unwrap(), None);
}

#[tokio::test]
async fn other_calls_are_unimplemented() {
    let (s, channel) = start(&CancellationToken::new()).await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let call = async |path: &str| {
        let request = client.post(format!("http://{}{path}", s.address));
        let r = request
            .header("content-type", "application/grpc")
            .send()
            .await
            .unwrap();
        let text = |name: &str| r.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        (r.status().as_u16(), text("grpc-status"), text("grpc-message"))
    };
    for path in [
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export".to_owned(),
        format!("/{LOGS}/Import"),
        "/".to_owned(),
    ] {
        let (status, code, message) = call(&path).await;
        assert_eq!((status, code.as_deref()), (200, Some("12")), "{path}");
        assert!(message.unwrap().contains(&path));
    }
    // A method of the health service that there is not.
    assert_eq!(call("/grpc.health.v1.Health/List").await.1.as_deref(), Some("12"));
    // The data needs its token still, and plain requests get plain answers.
    assert_eq!(call(&format!("/{LOGS}/Export")).await.1.as_deref(), Some("16"));
    let r = s
        .client
        .get(format!("http://{}/x", s.address))
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 404);
    assert!(r.text().await.unwrap().contains("OTLP over gRPC"));
    let r = s
        .client
        .get(format!("http://{}/-/ready", s.address))
        .send()
        .await
        .unwrap();
    assert_eq!(r.status(), 200);
    drop(channel);
}
