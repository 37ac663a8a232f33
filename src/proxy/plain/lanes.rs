//! The ways to one upstream: a lane for each address and worker.
//!
//! Promise: a request goes to the address with the least in flight; one that fails in a row is left alone
//! for a while, and then tried with one request. The head of an answer decides: a stream may not end for hours. What
//! breaks off after it is a failure all the same.
//! Cost: a load for each address, two uncontended locked instructions, and a small lock of the worker's own
//! at the head of an answer.

use std::ops::Deref;

use tokio::time::Instant;

use super::bridge::Channel;
use super::connection::{Connection, Pools, Site, SiteTimes};
use super::counts::{Counts, UpstreamStats};
use super::meter::Meter;
use super::options::UpstreamOptions;
use super::refusal::{self, Refusal};
use super::sharing::Sharing;
use super::worker::Home;
use crate::KeyHandle;
use crate::resilience::{Admission, Began, BreakerOptions, CircuitBreaker, Outcome};
use crate::sync::{Arc, AtomicU32, AtomicU64, CachePadded, Mutex, Ordering};
use crate::transport::http::HttpTarget;

/// An upstream at work.
#[derive(Debug)]
pub struct Upstream {
    /// What it was made from.
    pub options: UpstreamOptions,
    authority: String,
    /// By worker, then by address.
    lanes: Vec<Vec<CachePadded<Lane>>>,
    /// By worker.
    meters: Vec<CachePadded<Meter>>,
    turns: AtomicU32,
}

/// The way from one worker to one address.
#[derive(Debug)]
pub struct Lane {
    /// Its connections.
    pub connections: KeyHandle<Site, Connection>,
    /// Those that hyper speaks on.
    pub channels: KeyHandle<Site, Channel>,
    /// Of those, the ones in h2 that are in use.
    pub sharing: Sharing,
    in_flight: AtomicU32,
    breaker: Mutex<CircuitBreaker>,
    requests: AtomicU64,
    failures: AtomicU64,
}

/// One address, as pages show it: all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressStats {
    /// Its URL.
    pub url: String,
    /// Requests under way.
    pub in_flight: u32,
    /// Exchanges begun.
    pub requests: u64,
    /// Of these, failed.
    pub failures: u64,
    /// Workers that leave it alone now.
    pub ejected_by: u32,
    /// How often one began to.
    pub ejections: u64,
    /// Connections that are open.
    pub open: u32,
    /// Of these, in use.
    pub leased: u32,
    /// Callers in line for one.
    pub waiting: u32,
    /// Connections opened so far.
    pub opened: u64,
    /// Dials that failed so far.
    pub connect_failures: u64,
    /// The last failure to open a connection.
    pub last_connect_error: Option<String>,
}

static SITES: AtomicU64 = AtomicU64::new(0);

impl Upstream {
    /// An upstream without connections, for these workers.
    pub fn new(options: UpstreamOptions, homes: &[Home], pools: &Pools) -> Self {
        let now = Instant::now();
        let times = SiteTimes {
            connect: options.timeouts.connect,
            acquire: options.acquire_timeout,
            idle: options.idle_timeout,
            silence: options.timeouts.idle,
        };
        let site = |home: &Home, target: &HttpTarget| Site {
            // Relaxed: a number that is given out once.
            id: SITES.fetch_add(1, Ordering::Relaxed),
            target: Arc::new(target.clone()),
            h2: options.h2,
            runtime: home.runtime.clone(),
            max_connections: options.max_connections,
            times,
        };
        let breaker = BreakerOptions {
            // Not for as long as the request may take: its client may be slow with it.
            probe_timeout: options.timeouts.connect,
            ..options.breaker
        };
        let lane = |home: &Home, target: &HttpTarget| Lane {
            connections: pools.connections.handle(site(home, target)),
            channels: pools.channels.handle(site(home, target)),
            sharing: Sharing::default(),
            in_flight: AtomicU32::new(0),
            breaker: Mutex::new(CircuitBreaker::new(breaker, now)),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        };
        let of = |home| options.targets.iter().map(move |target| (home, target));
        let lanes = homes
            .iter()
            .map(|home| {
                of(home)
                    .map(|(home, target)| CachePadded::new(lane(home, target)))
                    .collect()
            })
            .collect();
        let first = options.targets.first();
        let authority = first.and_then(|target| target.authority().to_str().ok());
        Self {
            authority: authority.unwrap_or_default().to_owned(),
            meters: homes.iter().map(|_| CachePadded::default()).collect(),
            lanes,
            turns: AtomicU32::new(0),
            options,
        }
    }

    /// What its first URL names.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Takes the way of a worker with the least in flight, but for those in `tried`.
    pub fn pick<U: Deref<Target = Self> + Clone>(
        upstream: &U,
        worker: usize,
        tried: u64,
        now: Instant,
    ) -> Option<Flight<U>> {
        let lanes = upstream.lanes.get(worker)?;
        let count = lanes.len();
        let first = match count {
            1 => 0,
            // Relaxed: whose turn it is among equals.
            _ => upstream.turns.fetch_add(1, Ordering::Relaxed) as usize % count,
        };
        let mut refused = tried;
        loop {
            let open = (0..count)
                .map(|step| (first + step) % count)
                .filter(|at| refused & bit(*at) == 0)
                // Relaxed: an estimate.
                .min_by_key(|at| lanes[*at].in_flight.load(Ordering::Relaxed))?;
            match lanes[open].admit(now) {
                Some(admission) => {
                    return Some(Flight::new(upstream.clone(), worker, open, admission));
                }
                None => refused |= bit(open),
            }
        }
    }

    /// The counts of a worker, for that worker's thread.
    pub fn meter(&self, worker: usize) -> &Meter {
        &self.meters[worker]
    }

    /// What it counted.
    pub fn stats(&self) -> UpstreamStats {
        let mut stats = UpstreamStats {
            name: self.options.name.clone(),
            addresses: self.addresses(),
            ..UpstreamStats::default()
        };
        let meters = self.meters.iter();
        meters.for_each(|meter| meter.add_to(&mut stats.answers));
        stats
    }

    fn addresses(&self) -> Vec<AddressStats> {
        let targets = self.options.targets.iter().enumerate();
        targets
            .map(|(at, target)| {
                let mut sum = AddressStats {
                    url: target.to_string(),
                    ..AddressStats::default()
                };
                self.lanes
                    .iter()
                    .for_each(|lanes| lanes[at].add_to(&mut sum));
                sum
            })
            .collect()
    }

    /// Closes the connections that nobody uses, and opens no more for them.
    pub fn retire(&self, pools: &Pools) {
        for lane in self.lanes.iter().flatten() {
            pools.connections.remove(lane.connections.key());
            pools.channels.remove(lane.channels.key());
        }
    }
}

/// Beyond 64 addresses those share bits: a try less, nothing more.
fn bit(at: usize) -> u64 {
    1 << (at % 64)
}

impl Lane {
    fn admit(&self, now: Instant) -> Option<Admission> {
        self.breaker.lock().admit(now).ok()
    }

    fn began(&self, admission: Admission, at: Instant) -> Option<Began> {
        self.breaker.lock().began(admission, at)
    }

    /// Notes how a call ended; by `ejects`, one that failed has the address left alone at once.
    fn record(&self, admission: Admission, outcome: Outcome, ejects: bool) {
        let now = Instant::now();
        let mut breaker = self.breaker.lock();
        if breaker.record(admission, outcome, now) && ejects {
            breaker.trip(now);
        }
    }

    fn add_to(&self, sum: &mut AddressStats) {
        // Relaxed, all of them: counts for a page.
        sum.in_flight += self.in_flight.load(Ordering::Relaxed);
        sum.requests += self.requests.load(Ordering::Relaxed);
        sum.failures += self.failures.load(Ordering::Relaxed);
        let breaker = self.breaker.lock();
        sum.ejected_by += u32::from(breaker.rejects(Instant::now()));
        sum.ejections += breaker.times_opened();
        drop(breaker);
        let pools = [
            self.connections.pool().map(|pool| pool.stats()),
            self.channels.pool().map(|pool| pool.stats()),
        ];
        for pool in pools.into_iter().flatten() {
            sum.open += pool.open;
            sum.leased += pool.leased;
            sum.waiting += pool.waiting;
            sum.opened += pool.opened;
            sum.connect_failures += pool.connect_failures;
            sum.last_connect_error = pool.last_connect_error.or(sum.last_connect_error.take());
        }
    }
}

/// A request on its way; dropped without a word it says nothing of the address.
pub struct Flight<U: Deref<Target = Upstream>> {
    upstream: U,
    worker: usize,
    at: usize,
    admission: Admission,
    said: Said,
}

/// What a request said of its address.
#[derive(Clone, Copy, Debug)]
enum Said {
    Nothing,
    /// That an answer began; if the breaker had not turned by then, it may still break off.
    Began(Option<Began>),
    Failed,
}

impl<U: Deref<Target = Upstream>> Flight<U> {
    fn new(upstream: U, worker: usize, at: usize, admission: Admission) -> Self {
        let flight = Self {
            upstream,
            worker,
            at,
            admission,
            said: Said::Nothing,
        };
        let in_flight = &flight.lane().in_flight;
        // Relaxed, both: an estimate, and only its worker's thread writes it.
        in_flight.store(in_flight.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Counts::count(&flight.lane().requests);
        flight
    }

    /// Its lane.
    pub fn lane(&self) -> &Lane {
        &self.upstream.lanes[self.worker][self.at]
    }

    /// The counts of its upstream and worker.
    pub fn meter(&self) -> &Meter {
        self.upstream.meter(self.worker)
    }

    /// What its upstream was made from.
    pub fn options(&self) -> &UpstreamOptions {
        &self.upstream.options
    }

    /// The address among those tried.
    pub fn bit(&self) -> u64 {
        bit(self.at)
    }

    /// Notes the head of an answer that came just now.
    pub fn answered(&mut self, status: u16) {
        self.answered_at(status, Instant::now());
    }

    /// Notes the head of an answer: one that says that the upstream cannot serve is a failure where another address
    /// may.
    pub fn answered_at(&mut self, status: u16, at: Instant) {
        match status {
            502..=504 if self.has_others() => self.fail(Outcome::Failure, false),
            _ => self.said = Said::Began(self.lane().began(self.admission, at)),
        }
    }

    /// It did not look at the request, which goes on: a failure where another address may serve.
    pub fn refused(&mut self) {
        if self.has_others() {
            self.failed();
        }
    }

    /// It cannot be reached, which the client is told so: where there is another address, that one serves from now on.
    /// Else those that were refused at one moment are one failure, and those that waited in vain one each.
    pub fn unreachable(&mut self, refusal: Refusal) {
        match refusal {
            _ if self.has_others() => self.fail(Outcome::Failure, true),
            refusal::LATE => self.fail(Outcome::Failure, false),
            _ => self.fail(Outcome::Lost, false),
        }
    }

    /// Its connection ended before the answer did. So did those of others at the same moment: together they are one
    /// failure.
    pub fn lost(&mut self) {
        self.fail(Outcome::Lost, false);
    }

    /// There was no answer, or not all of it.
    pub fn failed(&mut self) {
        self.fail(Outcome::Failure, false);
    }

    /// Whether an answer began, or was given up.
    pub fn has_begun(&self) -> bool {
        !matches!(self.said, Said::Nothing)
    }

    fn has_others(&self) -> bool {
        self.upstream.options.targets.len() > 1
    }

    /// Only the first word against an address counts.
    fn fail(&mut self, outcome: Outcome, ejects: bool) {
        let lane = self.lane();
        match self.said {
            Said::Failed => return,
            Said::Nothing => lane.record(self.admission, outcome, ejects),
            Said::Began(None) => {}
            Said::Began(Some(began)) => {
                let mut breaker = lane.breaker.lock();
                breaker.broke_off(began, outcome, Instant::now());
            }
        }
        Counts::count(&lane.failures);
        self.said = Said::Failed;
    }
}

impl<U: Deref<Target = Upstream>> Drop for Flight<U> {
    fn drop(&mut self) {
        let lane = self.lane();
        // Relaxed, both: estimates, and this thread alone writes them.
        let in_flight = lane.in_flight.load(Ordering::Relaxed);
        lane.in_flight.store(in_flight - 1, Ordering::Relaxed);
        if let Said::Nothing = self.said {
            lane.record(self.admission, Outcome::Abandoned, false);
        }
    }
}
