//! The routes over a real socket, against a broker made of one task.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn served() -> (SocketAddr, tokio::sync::watch::Sender<Readiness>) {
    let (handle, mut requests, readiness) = channel();
    let service = Service::bind("127.0.0.1:0", handle, Arc::new(Metrics::new())).await.expect("bound");
    let address = service.address();
    tokio::spawn(service.run(std::future::pending()));
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                AdminRequest::Flush { topic, wait, reply } => {
                    let _ = reply.send(Ok(FlushReport { topic, complete: wait, partitions: Vec::new() }));
                }
                AdminRequest::Evict { topic, reply } => {
                    let _ = reply.send(Err(AdminError::UnknownTopic { topic }));
                }
                AdminRequest::List { topic, reply } => {
                    let _ = reply
                        .send(topic.map_or(Ok(TierListing::default()), |topic| Err(AdminError::NotTiered { topic })));
                }
                // Dropped: the broker went away with the request.
                AdminRequest::Verify { .. } => {}
            }
        }
    });
    (address, readiness)
}

async fn ask(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test]
async fn health_follows_readiness() {
    let (address, readiness) = served().await;
    let starting = ask(address, "GET /health/ready HTTP/1.1").await;
    assert!(starting.starts_with("HTTP/1.1 503") && starting.contains("\"starting\""), "{starting}");
    assert!(ask(address, "GET /health/live HTTP/1.1").await.starts_with("HTTP/1.1 200"));
    readiness.send(Readiness::Ready).expect("told");
    assert!(ask(address, "GET /health/ready HTTP/1.1").await.starts_with("HTTP/1.1 200"));
    readiness.send(Readiness::Degraded { why: "the bucket is away".to_owned() }).expect("told");
    let degraded = ask(address, "GET /health/ready HTTP/1.1").await;
    assert!(degraded.starts_with("HTTP/1.1 200") && degraded.contains("the bucket is away"), "{degraded}");
    readiness.send(Readiness::NotReady { why: "not our bucket".to_owned() }).expect("told");
    let refused = ask(address, "GET /health/ready HTTP/1.1").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("not our bucket"), "{refused}");
    readiness.send(Readiness::Stopping).expect("told");
    assert!(ask(address, "GET /health/ready HTTP/1.1").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn reports_and_refusals() {
    let (address, _readiness) = served().await;
    let flushed = ask(address, "POST /v1/tier/flush?topic=a%20b&wait=true HTTP/1.1").await;
    assert!(flushed.starts_with("HTTP/1.1 200"), "{flushed}");
    assert!(flushed.ends_with("{\"topic\":\"a b\",\"complete\":true,\"partitions\":[]}"), "{flushed}");
    let evicted = ask(address, "POST /v1/tier/evict?topic=t HTTP/1.1").await;
    assert!(evicted.starts_with("HTTP/1.1 404") && evicted.contains("unknown_topic"), "{evicted}");
    let listed = ask(address, "GET /v1/tier/ls?topic=t HTTP/1.1").await;
    assert!(listed.starts_with("HTTP/1.1 409") && listed.contains("remote.storage.enable=true"), "{listed}");
    assert!(ask(address, "GET /v1/tier/ls HTTP/1.1").await.starts_with("HTTP/1.1 200"));
    let verified = ask(address, "POST /v1/tier/verify?topic=t HTTP/1.1").await;
    assert!(verified.starts_with("HTTP/1.1 503"), "{verified}");
    assert!(ask(address, "POST /v1/tier/flush HTTP/1.1").await.starts_with("HTTP/1.1 400"));
    assert!(ask(address, "GET /v1/tier/flush?topic=t HTTP/1.1").await.starts_with("HTTP/1.1 405"));
    assert!(ask(address, "GET /nowhere HTTP/1.1").await.contains("/health/ready"));
}

#[tokio::test]
async fn metrics_are_text_and_web_pages_are_refused() {
    let (address, _readiness) = served().await;
    let metrics = ask(address, "GET /metrics HTTP/1.1").await;
    assert!(metrics.contains("application/openmetrics-text") && metrics.contains("stratalog_build_info"), "{metrics}");
    let from_page = ask(address, "POST /v1/tier/evict?topic=t HTTP/1.1\r\norigin: http://evil.example").await;
    assert!(from_page.starts_with("HTTP/1.1 403"), "{from_page}");
}
