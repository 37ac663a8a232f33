//! What all workers of a gateway see: the rules in force, the connections, the end.

use std::time::Duration;

use tokio::sync::watch;

use super::connection::Pools;
use super::counts::Counts;
use super::options::{GatewayOptions, HeadLimits};
use super::seats::Seats;
use super::table::Table;
use crate::proxy::watching::AccessWriter;
use crate::sync::{Arc, ArcSwap, AtomicBool, AtomicU64, CachePadded, Ordering};

/// The state of a gateway.
pub struct Shared {
    /// What it was started with.
    pub options: GatewayOptions,
    /// The connections to all upstreams.
    pub pools: Pools,
    rules: ArcSwap<Rules>,
    number: AtomicU64,
    /// Each worker's counters.
    pub counts: Vec<Arc<CachePadded<Counts>>>,
    draining: AtomicBool,
    closing: AtomicBool,
    drain: watch::Sender<bool>,
    close: watch::Sender<bool>,
    /// Room for clients.
    pub seats: Seats,
}

/// What holds for requests that begin now; replaced as a whole.
pub struct Rules {
    number: u64,
    /// The shortest of all limits, or a little while: how often a connection's timer rings at least.
    pub beat: Duration,
    /// Where they go.
    pub routes: Table,
    /// What they may be.
    pub limits: HeadLimits,
    /// How long a client may be idle between two of them.
    pub client_idle: Duration,
    /// How long it may take for the head of one.
    pub client_head: Duration,
    /// How long a connection of another protocol may be silent.
    pub tunnel_idle: Duration,
    /// Where a line is written for each.
    pub log: Option<Arc<AccessWriter>>,
}

impl Rules {
    /// Those of these options, with these routes.
    pub fn new(options: &GatewayOptions, routes: Table, log: Option<Arc<AccessWriter>>) -> Self {
        let rules = Self {
            number: 0,
            beat: LONGEST_BEAT,
            routes,
            limits: options.limits.clone(),
            client_idle: options.client_idle,
            client_head: options.client_head,
            tunnel_idle: options.tunnel_idle,
            log,
        };
        rules.timed()
    }

    /// The same with other routes.
    pub fn rerouted(&self, routes: Table) -> Self {
        let rules = Self {
            routes,
            limits: self.limits.clone(),
            log: self.log.clone(),
            ..*self
        };
        rules.timed()
    }

    fn timed(self) -> Self {
        let own = [self.client_idle, self.client_head, self.tunnel_idle];
        let upstreams = self.routes.upstreams();
        let theirs = upstreams.iter().flat_map(|upstream| {
            let times = &upstream.options.timeouts;
            [times.request, times.idle, times.response, times.overall]
        });
        let shortest = own.into_iter().chain(theirs).min().unwrap_or(LONGEST_BEAT);
        let beat = shortest.clamp(SHORTEST_BEAT, LONGEST_BEAT);
        Self { beat, ..self }
    }
}

const SHORTEST_BEAT: Duration = Duration::from_millis(1);
const LONGEST_BEAT: Duration = Duration::from_secs(5);

impl Shared {
    /// The state of some workers.
    pub fn new(options: GatewayOptions, pools: Pools, rules: Rules, workers: usize) -> Self {
        Self {
            seats: Seats::new(options.max_clients),
            options,
            pools,
            number: AtomicU64::new(0),
            rules: ArcSwap::from_pointee(rules),
            counts: (0..workers).map(|_| Arc::default()).collect(),
            draining: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            drain: watch::Sender::new(false),
            close: watch::Sender::new(false),
        }
    }

    /// The rules now.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Makes them those of now; whether they are others. Cost: one load of a line that nobody writes.
    pub fn refresh(&self, rules: &mut Arc<Rules>) -> bool {
        // Acquire: pairs with the Release in `replace`; the rules of this number are seen.
        let is_other = self.number.load(Ordering::Acquire) != rules.number;
        if is_other {
            *rules = self.rules();
        }
        is_other
    }

    /// Puts others in their place; returns those of before. One caller at a time.
    pub fn replace(&self, rules: Rules) -> Arc<Rules> {
        let number = self.rules.load().number + 1;
        let before = self.rules.swap(Arc::new(Rules { number, ..rules }));
        // Release: pairs with the Acquire in `refresh`.
        self.number.store(number, Ordering::Release);
        before
    }

    /// How often a timer of a connection that begins now rings at least.
    pub fn beat(&self) -> Duration {
        self.rules.load().beat
    }

    /// Tells all workers to take no more clients, and to let those go that are there.
    pub fn drain(&self) {
        // Relaxed: who sees it late lets its client ask once more.
        self.draining.store(true, Ordering::Relaxed);
        self.drain.send_replace(true);
    }

    /// Tells all workers to end what is idle, too.
    pub fn close(&self) {
        self.drain();
        // Release: pairs with the Acquire in `is_closing`.
        self.closing.store(true, Ordering::Release);
        self.close.send_replace(true);
    }

    /// Whether each answer is the last of its connection.
    pub fn is_draining(&self) -> bool {
        // Relaxed: see `drain`.
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether idle connections end.
    pub fn is_closing(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.closing.load(Ordering::Acquire)
    }

    /// Ends with [`drain`](Self::drain).
    pub async fn until_draining(&self) {
        // The sender lives in `self`.
        let _ = self.drain.subscribe().wait_for(|is_so| *is_so).await;
    }

    /// Ends with [`close`](Self::close).
    pub async fn until_closing(&self) {
        // The sender lives in `self`.
        let _ = self.close.subscribe().wait_for(|is_so| *is_so).await;
    }
}
