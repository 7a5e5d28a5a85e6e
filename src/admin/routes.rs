//! The routes. Errors are `{"code", "message"}`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::request::{AdminError, AdminHandle, Readiness};
use crate::metrics::Metrics;

#[derive(Clone)]
struct Routes {
    handle: AdminHandle,
    metrics: Arc<Metrics>,
}

#[derive(Deserialize)]
struct FlushQuery {
    topic: String,
    #[serde(default)]
    wait: bool,
}

#[derive(Deserialize)]
struct TopicQuery {
    topic: String,
}

#[derive(Deserialize)]
struct ListQuery {
    topic: Option<String>,
}

#[derive(Serialize)]
struct Refusal {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

pub(super) fn router(handle: AdminHandle, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(encode_metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/v1/tier/ls", get(list))
        .route("/v1/tier/flush", post(flush))
        .route("/v1/tier/evict", post(evict))
        .route("/v1/tier/verify", post(verify))
        .fallback(unknown)
        .layer(middleware::from_fn(refuse_browsers))
        .with_state(Routes { handle, metrics })
}

/// A page in somebody's browser can send a POST to loopback; it cannot keep its origin out of the request.
async fn refuse_browsers(request: Request, next: Next) -> Response {
    if request.method() != Method::GET && request.headers().contains_key(header::ORIGIN) {
        let message = "requests from web pages are not served".to_owned();
        return (StatusCode::FORBIDDEN, Json(Refusal { code: "forbidden", message })).into_response();
    }
    next.run(request).await
}

async fn unknown() -> Response {
    let message = "no such path: /metrics, /health/live, /health/ready, /v1/tier/{ls,flush,evict,verify}".to_owned();
    (StatusCode::NOT_FOUND, Json(Refusal { code: "not_found", message })).into_response()
}

async fn encode_metrics(State(routes): State<Routes>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match routes.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Alive: the process answers.
async fn live() -> Json<Health> {
    Json(Health { status: "live", message: None })
}

async fn ready(State(routes): State<Routes>) -> Response {
    let (code, status, message) = match routes.handle.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready", None),
        Readiness::Degraded { why } => (StatusCode::OK, "degraded", Some(why)),
        Readiness::NotReady { why } => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", Some(why)),
        Readiness::Starting { what } => (StatusCode::SERVICE_UNAVAILABLE, "starting", Some(what)),
        Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", None),
    };
    (code, Json(Health { status, message })).into_response()
}

async fn list(State(routes): State<Routes>, Query(query): Query<ListQuery>) -> Response {
    answer(routes.handle.list(query.topic).await)
}

async fn flush(State(routes): State<Routes>, Query(query): Query<FlushQuery>) -> Response {
    answer(routes.handle.flush(query.topic, query.wait).await)
}

async fn evict(State(routes): State<Routes>, Query(query): Query<TopicQuery>) -> Response {
    answer(routes.handle.evict(query.topic).await)
}

async fn verify(State(routes): State<Routes>, Query(query): Query<TopicQuery>) -> Response {
    answer(routes.handle.verify(query.topic).await)
}

fn answer<T: Serialize>(result: Result<T, AdminError>) -> Response {
    let error = match result {
        Ok(report) => return Json(report).into_response(),
        Err(error) => error,
    };
    let (status, code) = match &error {
        AdminError::UnknownTopic { .. } => (StatusCode::NOT_FOUND, "unknown_topic"),
        AdminError::NotTiered { .. } => (StatusCode::CONFLICT, "not_tiered"),
        AdminError::NoTier => (StatusCode::CONFLICT, "no_tier"),
        AdminError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        AdminError::Corrupt { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
    };
    (status, Json(Refusal { code, message: error.to_string() })).into_response()
}
