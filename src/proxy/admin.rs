//! The pages for operators: alive, ready, figures.

use crate::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::front::Front;
use super::stats;

/// Serves the pages until the proxy shuts down.
pub async fn serve(front: Arc<Front>, listener: TcpListener) {
    let mut closing = front.closing.subscribe();
    let router = Router::new()
        .route("/", get(index))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/stats", get(figures))
        .layer(from_fn_with_state(front.clone(), only_known_hosts))
        .with_state(front);
    let stopped = async move { _ = closing.wait_for(|closing| *closing).await };
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
    {
        tracing::error!(%error, "the admin pages are gone");
    }
}

/// A page of another site must not read the figures.
async fn only_known_hosts(
    State(front): State<Arc<Front>>,
    request: Request,
    next: Next,
) -> Response {
    match front.admin_policy.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(fault) => (fault.code.status(), fault.message).into_response(),
    }
}

async fn index() -> &'static str {
    "plunge\n\n/healthz  whether the process serves\n/readyz   whether a request would get a server process\n/stats    figures, as JSON\n"
}

async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(front): State<Arc<Front>>) -> (StatusCode, String) {
    match front.ready() {
        Ok(()) => (StatusCode::OK, String::from("ready\n")),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
    }
}

async fn figures(State(front): State<Arc<Front>>) -> Json<serde_json::Value> {
    Json(stats::snapshot(&front))
}
