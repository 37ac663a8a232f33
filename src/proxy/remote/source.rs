//! The upstream, and the connections to it that its sessions share.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use tokio::time::{Instant, timeout};

use crate::BoxError;
use crate::proxy::guard::Guard;
use crate::proxy::http::ToolHeaders;
use crate::proxy::options::{HttpUpstream, Mode, REMOTE_LISTENING, ServeOptions};
use crate::proxy::tasks::Tasks;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::transport::http::{HttpClient, HttpOptions};
use crate::transport::sse::ReconnectOptions;

/// Connections for calls that no mode goes beyond.
const MAX_CONNECTIONS: u32 = 4096;

/// What sessions with one upstream share.
pub struct RemoteSource {
    /// The connections.
    pub client: HttpClient,
    /// What is sent with every request.
    pub headers: HeaderMap,
    /// What tools want to see in the heads of calls.
    pub tools: Arc<ToolHeaders>,
    /// What a second try is allowed by.
    pub guard: Arc<Guard>,
    /// The longest message that is taken.
    pub max_message: usize,
    /// When a lost stream comes back.
    pub reconnect: ReconnectOptions,
    /// How long a stream may take to say where to post.
    pub connect_timeout: Duration,
    is_old: AtomicBool,
    /// Ends of sessions that are on their way to the upstream, though nobody asks for them.
    pub farewells: Tasks,
}

impl RemoteSource {
    /// Without a connection.
    ///
    /// # Errors
    ///
    /// That of the pool's options, or of a header that cannot be sent.
    pub fn new(
        upstream: &HttpUpstream,
        options: &ServeOptions,
        tools: &Arc<ToolHeaders>,
        guard: &Arc<Guard>,
    ) -> Result<Self, BoxError> {
        let mut headers = HeaderMap::new();
        let own = concat!("plunge/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(own));
        for (name, value) in &upstream.headers {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        let client = HttpClient::new(
            upstream.target.clone(),
            HttpOptions {
                max_connections: connections(options),
                connect_timeout: options.connect_timeout,
                acquire_timeout: options.acquire_timeout,
                ..HttpOptions::default()
            },
        )?;
        Ok(Self {
            client,
            headers,
            tools: tools.clone(),
            guard: guard.clone(),
            max_message: options.max_body_bytes,
            reconnect: upstream.reconnect,
            connect_timeout: options.connect_timeout,
            is_old: AtomicBool::new(false),
            farewells: Tasks::default(),
        })
    }

    /// Whether the session that was begun last found the transport of 2024-11-05.
    pub fn is_old(&self) -> bool {
        // Relaxed: a guess, which is made good where it is wrong.
        self.is_old.load(Ordering::Relaxed)
    }

    /// Notes whether a session found that.
    pub fn note_old(&self, is_old: bool) {
        // Relaxed: see `is_old`.
        let was_old = self.is_old.swap(is_old, Ordering::Relaxed);
        if is_old && !was_old {
            let url = self.client.target();
            tracing::info!(%url, "the server speaks the transport of 2024-11-05");
        }
    }

    /// Closes the connections, once the upstream was told of every session that ended, or the time for that is over.
    pub async fn close(&self, deadline: Duration) {
        let begun = Instant::now();
        let _ = timeout(deadline, self.farewells.idle()).await;
        self.client
            .close(deadline.saturating_sub(begun.elapsed()))
            .await;
    }
}

/// A session has a stream of its own and asks something now and then; where sessions are shared, every
/// request in flight may have a connection. Subscriptions have theirs beside: they stay for hours.
fn connections(options: &ServeOptions) -> u32 {
    let sessions = options.children();
    let in_flight = u32::try_from(options.max_in_flight).unwrap_or(u32::MAX);
    let wanted = match options.mode {
        Mode::Session => sessions.saturating_mul(2).saturating_add(in_flight),
        _ => sessions.saturating_mul(in_flight.saturating_add(1)),
    };
    let listening = match options.mode {
        Mode::Session | Mode::Stateless => REMOTE_LISTENING,
        Mode::Shared | Mode::Exclusive | Mode::Oneshot => 0, // they ask for no subscription
    };
    wanted.min(MAX_CONNECTIONS) + listening
}
