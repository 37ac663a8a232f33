//! Everything that one upstream has in a running proxy, made in one place.

use crate::sync::Arc;
use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::Instrument;

use super::backend::Backend;
use super::live::Live;
use super::options::ServeOptions;
use super::session::SessionTable;
use super::tasks::Tasks;
use super::watching::Meters;
use crate::transport::Subprocess;
use crate::{BoxError, CloseReport};

/// How often overdue requests are looked for.
const SWEEP: Duration = Duration::from_millis(50);
/// How often idle sessions are.
const SESSION_SWEEP: Duration = Duration::from_secs(1);

/// The state that every request sees.
pub struct AppState {
    /// What the proxy was started with.
    pub options: Live,
    /// The sessions.
    pub sessions: Arc<SessionTable>,
    /// The way to the children.
    pub backend: Backend,
    /// Its tasks.
    pub tasks: Tasks,
    /// Whether it is shutting down.
    pub closing: watch::Sender<bool>,
    /// What it counted.
    pub counts: Counts,
    /// What is counted of its requests over HTTP.
    pub meters: Meters,
    /// How high its limit on children can be set.
    pub ceiling: u32,
}

/// Counters of the endpoint.
#[derive(Default)]
pub struct Counts {
    /// HTTP requests.
    pub requests: AtomicU64,
    /// Of these, answered by a fault of the proxy.
    pub faults: AtomicU64,
}

impl Counts {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        // Relaxed: a count for a page.
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl AppState {
    /// The state of a proxy. No child is started yet.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(options: ServeOptions) -> Result<Arc<Self>, BoxError> {
        let live = Live::new(options.clone());
        let tasks = Tasks::default();
        let sessions = Arc::new(SessionTable::new(options.max_sessions));
        sessions.kept.limit_to(options.max_replay_bytes);
        Ok(Arc::new(Self {
            ceiling: options.ceiling(),
            meters: Meters::default(),
            backend: Backend::new(&live, &sessions, &tasks)?,
            sessions,
            tasks,
            options: live,
            closing: watch::Sender::new(false),
            counts: Counts::default(),
        }))
    }

    /// Changes limits and times; children that run keep what they were started with.
    pub fn tune(&self, options: &ServeOptions) {
        if let Err(error) = self.backend.tune(options) {
            tracing::warn!(%error, "a limit stays as it was");
        }
        self.sessions.limit_to(options.max_sessions);
        self.sessions.kept.limit_to(options.max_replay_bytes);
    }

    /// Has [`sweep`](Self::sweep) run, and what it logs say which upstream that is of; learns what readiness is asked for.
    pub fn sweep_as(self: &Arc<Self>, name: &str) {
        if let Some(look) = self.backend.look.clone() {
            self.tasks.spawn(look.watch(self.options.clone()));
        }
        // At the level of what is always logged, so that the name always is.
        let of = tracing::error_span!("upstream", name);
        self.tasks.spawn(self.clone().sweep().instrument(of));
    }

    /// Looks for overdue requests, dead children and idle sessions, for ever.
    pub async fn sweep(self: Arc<Self>) {
        let mut ticks = interval(SWEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sessions_swept = Instant::now();
        loop {
            let now = ticks.tick().await;
            self.backend.sweep(&self.sessions, now);
            if now.duration_since(sessions_swept) >= SESSION_SWEEP {
                sessions_swept = now;
                self.sessions.sweep(self.options.get().session_idle);
                self.backend.fill();
            }
        }
    }

    /// Subscriptions of clients without sessions, whoever tells them.
    pub fn listening(&self) -> usize {
        self.sessions.listeners.len() + self.backend.listening()
    }

    /// Whether it is shutting down.
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Takes no more requests, and ends the streams of sessions, so that their connections can close.
    pub fn stop_taking(&self) {
        self.closing.send_replace(true);
        self.sessions.close_streams();
    }

    /// Stops taking work, lets what is in flight end, then ends sessions, children and tasks.
    pub async fn close(&self, deadline: Duration) -> (usize, CloseReport) {
        let begun = Instant::now();
        self.stop_taking();
        // Children need part of the time to end in an orderly way.
        let drain = deadline - (deadline / 2).min(Duration::from_secs(5));
        let _ = tokio::time::timeout(drain, self.tasks.idle()).await;
        let cut = self.tasks.serving();
        self.sessions.end_all();
        let report = self
            .backend
            .close(deadline.saturating_sub(begun.elapsed()))
            .await;
        // Who was cut off is told so.
        let left = deadline.saturating_sub(begun.elapsed());
        let _ = tokio::time::timeout(left, self.tasks.idle()).await;
        self.tasks.end().await;
        // Sessions' children were retired by their drop: the pool does not wait for those.
        let _ = tokio::time::timeout(
            deadline.saturating_sub(begun.elapsed()),
            Subprocess::settled(),
        )
        .await;
        (cut, report)
    }

    /// Ends everything at once, without waiting.
    pub fn abandon(&self) {
        self.closing.send_replace(true);
        self.sessions.end_all();
        self.backend.abandon();
        self.tasks.abort();
    }
}
