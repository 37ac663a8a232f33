//! What all workers of a gateway see: the rules in force, the connections, the end.

use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::connection::Pools;
use super::counts::Counts;
use super::options::{GatewayOptions, HeadLimits};
use super::table::Table;
use crate::proxy::watching::AccessWriter;
use crate::sync::{Arc, ArcSwap, AtomicBool, AtomicU64, CachePadded, Mutex, Ordering};

/// The state of a gateway.
pub struct Shared {
    /// What it was started with.
    pub options: GatewayOptions,
    /// The connections to all upstreams.
    pub pools: Pools,
    rules: ArcSwap<Rules>,
    number: AtomicU64,
    beat_millis: AtomicU64,
    /// Each worker's counters.
    pub counts: Vec<Arc<CachePadded<Counts>>>,
    draining: AtomicBool,
    closing: AtomicBool,
    drain: watch::Sender<bool>,
    close: watch::Sender<bool>,
    /// A permit for each client.
    pub clients: Arc<Semaphore>,
    max_clients: Mutex<usize>,
}

/// What holds for requests that begin now; replaced as a whole.
pub struct Rules {
    number: u64,
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
        Self {
            number: 0,
            routes,
            limits: options.limits.clone(),
            client_idle: options.client_idle,
            client_head: options.client_head,
            tunnel_idle: options.tunnel_idle,
            log,
        }
    }

    /// The same with other routes.
    pub fn rerouted(&self, routes: Table) -> Self {
        Self {
            routes,
            limits: self.limits.clone(),
            log: self.log.clone(),
            ..*self
        }
    }

    /// The shortest of all limits, in ms.
    fn beat(&self) -> u64 {
        let own = [self.client_idle, self.client_head, self.tunnel_idle];
        let upstreams = self.routes.upstreams();
        let theirs = upstreams.iter().flat_map(|upstream| {
            let times = &upstream.options.timeouts;
            [times.request, times.idle, times.response, times.overall]
        });
        let shortest = own.into_iter().chain(theirs).min().unwrap_or(LONGEST_BEAT);
        shortest.min(LONGEST_BEAT).as_millis().max(1) as u64
    }
}

const LONGEST_BEAT: Duration = Duration::from_secs(5);

impl Shared {
    /// The state of some workers.
    pub fn new(options: GatewayOptions, pools: Pools, rules: Rules, workers: usize) -> Self {
        let max_clients = options.max_clients.min(Semaphore::MAX_PERMITS);
        Self {
            clients: Arc::new(Semaphore::new(max_clients)),
            max_clients: Mutex::new(max_clients),
            options,
            pools,
            number: AtomicU64::new(0),
            beat_millis: AtomicU64::new(rules.beat()),
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

    /// Makes them those of now. Cost: one load of a line that nobody writes.
    pub fn refresh(&self, rules: &mut Arc<Rules>) {
        // Acquire: pairs with the Release in `replace`; the rules of this number are seen.
        if self.number.load(Ordering::Acquire) != rules.number {
            *rules = self.rules();
        }
    }

    /// Puts others in their place; returns those of before. One caller at a time.
    pub fn replace(&self, rules: Rules) -> Arc<Rules> {
        // Relaxed: for connections that begin after this.
        self.beat_millis.fetch_min(rules.beat(), Ordering::Relaxed);
        let number = self.rules.load().number + 1;
        let before = self.rules.swap(Arc::new(Rules { number, ..rules }));
        // Release: pairs with the Acquire in `refresh`.
        self.number.store(number, Ordering::Release);
        before
    }

    /// Takes so many clients at a time from now on; those that are there stay. Returns how many permits have to be
    /// taken away as they come back.
    pub fn limit_clients(&self, count: usize) -> usize {
        let count = count.min(Semaphore::MAX_PERMITS);
        let before = std::mem::replace(&mut *self.max_clients.lock(), count);
        match count.checked_sub(before) {
            Some(more) => {
                self.clients.add_permits(more);
                0
            }
            None => before - count - self.clients.forget_permits(before - count),
        }
    }

    /// How often a connection's timer rings at least.
    pub fn beat(&self) -> Duration {
        // Relaxed: a hint.
        Duration::from_millis(self.beat_millis.load(Ordering::Relaxed))
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
