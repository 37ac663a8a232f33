//! The pages for operators: alive, ready, figures, and one to look at.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::{metrics, stats};
use crate::proxy::front::{Front, Phase};
use crate::proxy::takeover;
use crate::sync::Arc;

/// What the status page may do: nothing but run its own script and ask this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the pages until the proxy shuts down.
pub async fn serve(front: Arc<Front>, listener: TcpListener) {
    let ending = ending(&listener, front.clone());
    let router = Router::new()
        .route("/", get(index))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/stats", get(figures))
        .route("/metrics", get(scraped))
        .layer(from_fn_with_state(front.clone(), only_known_hosts))
        .with_state(front);
    // A reply is written in two pieces: the second would wait for the client to acknowledge the first.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(ending)
        .await
    {
        tracing::error!(%error, "the admin pages are gone");
    }
}

/// Ends when the pages do: with the last request, so that they can say that the proxy drains; at once where another
/// process has taken the address over.
fn ending(listener: &TcpListener, front: Arc<Front>) -> impl Future<Output = ()> + use<> {
    let leaving = takeover::Leaving::of(listener);
    async move {
        if front.config.reuse_port {
            front.reaches(Phase::Leaving).await;
            leaving.ready().await;
        } else {
            front.reaches(Phase::Over).await;
        }
    }
}

/// A page of another site must not read the figures.
async fn only_known_hosts(
    State(front): State<Arc<Front>>,
    request: Request,
    next: Next,
) -> Response {
    match front.admin_policy.check(request.headers()) {
        Ok(_) => next.run(request).await,
        Err(fault) => (fault.code.status(), fault.message).into_response(),
    }
}

/// The status page: one file, which asks for nothing but `/stats`.
async fn index() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, include_str!("page.html"))
}

async fn scraped(State(front): State<Arc<Front>>) -> impl IntoResponse {
    let text = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, text)], metrics::page(&front))
}

async fn alive() -> &'static str {
    "ok\n"
}

async fn ready(State(front): State<Arc<Front>>) -> (StatusCode, String) {
    match front.ready() {
        Ok(()) => {
            let behind = front.not_ready();
            let lines = behind
                .iter()
                .map(|(name, reason)| format!("but not {name}: {reason}\n"));
            (
                StatusCode::OK,
                format!("ready\n{}", lines.collect::<String>()),
            )
        }
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
    }
}

async fn figures(State(front): State<Arc<Front>>) -> Json<serde_json::Value> {
    Json(stats::snapshot(&front))
}
