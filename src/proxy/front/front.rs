//! Everything that a running proxy holds beside its upstreams, made in one place.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::reach::Reach;
use super::status::ReloadStatus;
use super::{Place, Table, web};
use crate::CloseReport;
use crate::proxy::config::Config;
use crate::proxy::http::HostPolicy;
use crate::proxy::plain::GatewayView;
use crate::proxy::server::StartError;
use crate::proxy::state::{AppState, Counts};
use crate::proxy::tasks::Tasks;
use crate::proxy::watching::{AccessCounts, AccessWriter};
use crate::sync::{Arc, ArcSwap, ArcSwapOption, AtomicBool, AtomicU64, Mutex, OnceLock, Ordering};

/// How long an idle connection is given for a last request.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// How long the last lines of the access log may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How far a shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has not begun.
    Serving,
    /// No connection is taken any more; those that are there are served.
    Leaving,
    /// No request is, and idle connections are closed.
    Closing,
    /// Nothing is served any more.
    Over,
}

/// The state that every connection sees.
pub struct Front {
    /// What it was started with.
    pub config: Config,
    /// Who may talk to it.
    pub policy: HostPolicy,
    /// Who may see the admin pages.
    pub admin_policy: HostPolicy,
    /// Where requests go.
    pub table: ArcSwap<Table>,
    /// Tasks that belong to no upstream; those of connections among them.
    pub tasks: Tasks,
    /// How far its shutdown is.
    phase: watch::Sender<Phase>,
    /// Whether plain HTTP drains before the rest does.
    draining: AtomicBool,
    /// Whether each reply ends its connection.
    parting: AtomicBool,
    /// Counts those that listen.
    pub listeners: Tasks,
    /// Since when it runs.
    pub began: Instant,
    /// What no route took.
    pub counts: Counts,
    /// Where a line for each request goes.
    pub access: ArcSwapOption<AccessWriter>,
    /// What became of the lines, of those before a reload too.
    pub access_counts: Arc<AccessCounts>,
    /// How reloads went.
    pub reloads: ReloadStatus,
    /// One reload at a time.
    pub(super) reloading: tokio::sync::Mutex<()>,
    /// What is served no more, and not at its end yet.
    pub(super) retiring: Mutex<Vec<Arc<AppState>>>,
    /// What is seen of plain HTTP.
    pub web: OnceLock<GatewayView>,
    /// What is known of its addresses.
    pub reach: Reach,
    /// Whether the cores are asked not to sleep.
    awake: AtomicBool,
    drain_ms: AtomicU64,
    drain_delay_ms: AtomicU64,
}

impl Front {
    /// The state of a proxy. No child is started yet.
    ///
    /// # Errors
    ///
    /// That of a pool's options; an access log that cannot be opened.
    pub fn new(config: Config) -> Result<Arc<Self>, StartError> {
        let access_counts = Arc::<AccessCounts>::default();
        let access = AccessWriter::open(&config.log.access, &access_counts)
            .map_err(|error| StartError::Options(error.to_string()))?;
        let mut places = Vec::with_capacity(config.upstreams.len());
        let mut hosts = Vec::new();
        let mut origins = Vec::new();
        for upstream in &config.upstreams {
            let state = AppState::new(upstream.options.clone()).map_err(StartError::Pool)?;
            hosts.extend_from_slice(&upstream.options.allowed_hosts);
            origins.extend_from_slice(&upstream.options.allowed_origins);
            let place = Place::new(upstream.clone(), state, Vec::new());
            places.push(Arc::new(place));
        }
        Ok(Arc::new(Self {
            policy: HostPolicy::new(config.listen, &hosts, &origins),
            admin_policy: HostPolicy::new(config.admin, &hosts, &origins),
            table: ArcSwap::from_pointee(Table::new(places)),
            tasks: Tasks::default(),
            phase: watch::Sender::new(Phase::Serving),
            draining: AtomicBool::new(false),
            parting: AtomicBool::new(false),
            listeners: Tasks::default(),
            began: Instant::now(),
            counts: Counts::default(),
            access: ArcSwapOption::new(access),
            access_counts,
            reloads: ReloadStatus::default(),
            reloading: tokio::sync::Mutex::default(),
            retiring: Mutex::default(),
            web: OnceLock::new(),
            reach: Reach::default(),
            awake: AtomicBool::new(false),
            drain_ms: AtomicU64::new(milliseconds(config.drain)),
            drain_delay_ms: AtomicU64::new(milliseconds(config.drain_delay)),
            config,
        }))
    }

    /// Starts the first child of each upstream, all at once, and looks after them from now on.
    ///
    /// # Errors
    ///
    /// That of the first that does not start, with its name if there are several.
    pub async fn warm(&self) -> Result<(), StartError> {
        let places = self.places();
        let is_lone = places.len() == 1;
        let mut starts = JoinSet::new();
        for place in places {
            place.state.sweep_as(&place.name);
            starts.spawn(async move {
                let warmed = place.state.backend.warm().await;
                warmed.map_err(|fault| (place.name.clone(), fault.message))
            });
        }
        while let Some(start) = starts.join_next().await {
            match start {
                Ok(Err((_, reason))) if is_lone => return Err(StartError::Upstream(reason)),
                Ok(Err((name, reason))) => {
                    return Err(StartError::Upstream(format!("`{name}`: {reason}")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it is shutting down.
    pub fn is_closing(&self) -> bool {
        // Relaxed: see `leave`.
        *self.phase.borrow() > Phase::Serving || self.draining.load(Ordering::Relaxed)
    }

    /// Whether each reply ends its connection.
    pub fn is_parting(&self) -> bool {
        // Relaxed: who sees it late is given another request.
        self.parting.load(Ordering::Relaxed)
    }

    /// Ends when its shutdown is as far as this.
    pub async fn reaches(&self, phase: Phase) {
        // The sender lives in `self`.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Whether some request would be served, or why none would.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn ready(&self) -> Result<(), String> {
        if self.is_closing() {
            return Err(String::from("shutting down"));
        }
        let mut reasons = self.not_ready();
        match reasons.len() {
            count if count < self.upstreams() => Ok(()),
            1 => Err(reasons.remove(0).1),
            _ => {
                let named = reasons
                    .iter()
                    .map(|(name, reason)| format!("{name}: {reason}"));
                Err(named.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// How many upstreams there are.
    fn upstreams(&self) -> usize {
        let plain = self
            .web
            .get()
            .map_or(0, |web| web::plain(&web.stats()).count());
        self.table.load().places().len() + plain
    }

    /// Upstreams that would not serve a request, each with its reason.
    pub fn not_ready(&self) -> Vec<(String, String)> {
        let places = self.places();
        let mut not_ready: Vec<_> = places
            .iter()
            .filter_map(|place| {
                let reason = place.state.backend.ready().err()?;
                Some((place.name.to_string(), reason))
            })
            .collect();
        if let Some(gateway) = self.web.get() {
            let stats = gateway.stats();
            for upstream in web::plain(&stats) {
                if let Err(reason) = web::ready(upstream, gateway.workers(), &self.reach) {
                    not_ready.push((upstream.name.clone(), reason));
                }
            }
        }
        not_ready
    }

    /// Every upstream that is served.
    pub fn places(&self) -> Vec<Arc<Place>> {
        self.table.load().places().to_vec()
    }

    /// The states of all upstreams, of those that drain as well.
    fn states(&self) -> Vec<Arc<AppState>> {
        let mut states = self.retiring.lock().clone();
        let places = self.table.load();
        states.extend(places.places().iter().map(|place| place.state.clone()));
        states
    }

    /// Whether the cores are asked not to sleep.
    pub fn keeps_awake(&self) -> bool {
        // Relaxed: a sign for a page.
        self.awake.load(Ordering::Relaxed)
    }

    /// Notes that they are, or no more.
    pub fn note_awake(&self, is_asked: bool) {
        // Relaxed: see `keeps_awake`.
        self.awake.store(is_asked, Ordering::Relaxed);
    }

    /// Requests so far; fewer again when an upstream has gone.
    pub fn served(&self) -> u64 {
        // Relaxed: a count.
        let read = |counts: &Counts| counts.requests.load(Ordering::Relaxed);
        let mcp: u64 = self.states().iter().map(|state| read(&state.counts)).sum();
        let plain = self.web.get().map_or(0, |web| web.stats().requests);
        mcp + read(&self.counts) + plain
    }

    /// What is served no more, and not at its end yet.
    pub fn retiring(&self) -> Vec<Arc<AppState>> {
        self.retiring.lock().clone()
    }

    /// How long a shutdown may take.
    pub fn drain(&self) -> Duration {
        // Relaxed: a number of its own.
        Duration::from_millis(self.drain_ms.load(Ordering::Relaxed))
    }

    /// How long it is announced before.
    pub fn drain_delay(&self) -> Duration {
        // Relaxed: a number of its own.
        Duration::from_millis(self.drain_delay_ms.load(Ordering::Relaxed))
    }

    /// Sets both.
    pub fn set_drain(&self, drain: Duration, delay: Duration) {
        // Relaxed, both: see `drain`.
        self.drain_ms.store(milliseconds(drain), Ordering::Relaxed);
        self.drain_delay_ms
            .store(milliseconds(delay), Ordering::Relaxed);
    }

    /// Says that the proxy drains, while everything is served as before.
    pub fn announce_end(&self) {
        self.draining.store(true, Ordering::Relaxed); // Relaxed: a flag of its own, for a page.
    }

    /// Says so, and ends the streams of sessions; requests are served as before.
    pub fn leave(&self) {
        self.announce_end();
        for state in self.states() {
            state.sessions.close_streams();
        }
    }

    /// Stops taking work, lets what is in flight end, then ends sessions, children and tasks.
    pub async fn close(&self, deadline: Duration) -> (usize, CloseReport) {
        let begun = Instant::now();
        // Children need part of the time to end in an orderly way.
        let drain = deadline - (deadline / 2).min(Duration::from_secs(5));
        let until = begun + drain;
        self.phase.send_replace(Phase::Leaving);
        let _ = timeout_at(until, self.listeners.idle()).await;
        // Relaxed: see `is_parting`.
        self.parting.store(true, Ordering::Relaxed);
        let states = self.states();
        for state in &states {
            state.sessions.close_streams();
        }
        // A request may be on its way on a connection that is idle here.
        let last = until.min(Instant::now() + (drain / 2).min(LAST_REQUEST));
        let _ = timeout_at(last, self.tasks.idle()).await;
        for state in &states {
            state.stop_taking();
        }
        self.phase.send_replace(Phase::Closing);
        let _ = timeout_at(until, self.tasks.idle()).await;
        let cut = self.tasks.serving();
        let left = deadline.saturating_sub(begun.elapsed());
        let mut ends = JoinSet::new();
        for state in states {
            ends.spawn(async move { state.close(left).await.1 });
        }
        let mut report = CloseReport::default();
        while let Some(end) = ends.join_next().await {
            report.add(end.unwrap_or_default());
        }
        self.phase.send_replace(Phase::Over);
        self.tasks.end().await;
        // A disk that takes nothing is not waited for.
        let _ = timeout(LAST_LINES, self.access_counts.settle()).await;
        (cut, report)
    }

    /// Ends everything at once, without waiting.
    pub fn abandon(&self) {
        self.phase.send_replace(Phase::Over);
        for state in self.states() {
            state.abandon();
        }
        self.tasks.abort();
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
