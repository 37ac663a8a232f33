//! The children of `exclusive` mode that wait for a request, by the revision that they were asked for.
//!
//! Promise: no more are open than the limit allows, of all revisions together. Where it is reached an idle child of the
//! revision used least recently makes way for one that is needed, and a child that comes back for who waits longest,
//! whatever its revision. So many are kept ready of the revision that a client asked for last.
//! Cost: that of a pool.

use std::future::Future;
use std::time::Duration;

use crate::proxy::http::Version;
use crate::proxy::options::ServeOptions;
use crate::proxy::shared::Handshaken;
use crate::sync::Mutex;
use crate::{
    BoxError, CloseReport, KeyedOptions, KeyedPool, OptionsError, Pool, PoolStats, ResourceMetadata,
};

/// The pools.
pub struct Kinds {
    all: KeyedPool<Version, Handshaken>,
    /// Kept, so that none is begun anew and all counts go on.
    pools: Vec<Pool<Handshaken>>,
    favoured: Mutex<Favoured>,
}

/// Where children are kept ready.
struct Favoured {
    kind: Version,
    min_idle: u32,
}

impl Kinds {
    /// Pools without children, which `start` starts for a revision.
    ///
    /// # Errors
    ///
    /// That of the pools' options.
    pub fn new<F, S>(options: &ServeOptions, start: F) -> Result<Self, BoxError>
    where
        F: Fn(&Version) -> S + Clone + Send + Sync + 'static,
        S: Future<Output = Result<Handshaken, BoxError>> + Send + 'static,
    {
        let each = options
            .pool()
            .max_connections(options.children())
            .max_connections_ceiling(options.ceiling())
            .connect_timeout(options.connect_timeout)
            .acquire_timeout(options.acquire_timeout.max(options.connect_timeout));
        let (kind, min_idle) = (Version::LATEST, options.min_idle);
        let all = KeyedOptions::new()
            .max_connections(options.children())
            .per_key(each)
            .override_key(move |asked, each| match *asked == kind {
                true => each.min_idle(min_idle),
                false => each,
            })
            .connect_with(start)?;
        let pools = Version::ALL.map(|kind| all.handle(kind).pool());
        Ok(Self {
            pools: pools.into_iter().collect::<Result<_, _>>()?,
            all,
            favoured: Mutex::new(Favoured { kind, min_idle }),
        })
    }

    /// The children that were asked for this revision.
    pub fn of(&self, asked: Version) -> &Pool<Handshaken> {
        &self.pools[asked as usize]
    }

    /// All of them, the oldest revision first.
    pub fn all(&self) -> impl Iterator<Item = &Pool<Handshaken>> {
        self.pools.iter()
    }

    /// Those that are kept ready.
    pub fn favoured(&self) -> &Pool<Handshaken> {
        self.of(self.favoured.lock().kind)
    }

    /// Keeps children of this kind ready from now on, and of no other.
    pub fn favour(&self, asked: Version) {
        let mut favoured = self.favoured.lock();
        let before = std::mem::replace(&mut favoured.kind, asked);
        if before != asked {
            // Under the lock, as all changes are. All pools have the same limits, so none refuses what another one had.
            let _ = self.of(before).tune(|tuning| tuning.min_idle = 0);
            let _ = self
                .of(asked)
                .tune(|tuning| tuning.min_idle = favoured.min_idle);
        }
    }

    /// Changes limits and times.
    ///
    /// # Errors
    ///
    /// A limit above the ceiling.
    pub fn tune(&self, options: &ServeOptions) -> Result<(), OptionsError> {
        let mut favoured = self.favoured.lock();
        for (kind, pool) in Version::ALL.iter().zip(&self.pools) {
            pool.tune(|tuning| {
                tuning.max_connections = options.children();
                tuning.min_idle = match *kind == favoured.kind {
                    true => options.min_idle,
                    false => 0,
                };
                tuning.max_lifetime = options.max_lifetime;
                tuning.connect_timeout = options.connect_timeout;
                tuning.acquire_timeout = options.acquire_timeout.max(options.connect_timeout);
            })?;
        }
        favoured.min_idle = options.min_idle;
        self.all.set_max_connections(options.children())
    }

    /// Retires idle ones for which `keep` says no.
    pub fn retain(&self, mut keep: impl FnMut(&Handshaken, &ResourceMetadata) -> bool) {
        self.all.retain(|_, child, of| keep(child, of));
    }

    /// The figures of all together; of failures the last one of the latest revision that had any.
    pub fn stats(&self) -> PoolStats {
        let newest_first = self.pools.iter().rev();
        let limit = self.all.stats().max_connections;
        let mut total = newest_first
            .map(Pool::stats)
            .reduce(add)
            .unwrap_or_default();
        total.max_connections = limit;
        total.capacity_free = limit.saturating_sub(total.open);
        total
    }

    /// Closes all.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.all.close(deadline).await
    }
}

fn add(one: PoolStats, other: PoolStats) -> PoolStats {
    PoolStats {
        open: one.open + other.open,
        idle: one.idle + other.idle,
        leased: one.leased + other.leased,
        connecting: one.connecting + other.connecting,
        recycling: one.recycling + other.recycling,
        closing: one.closing + other.closing,
        waiting: one.waiting + other.waiting,
        paused: one.paused || other.paused,
        closed: one.closed && other.closed,
        acquired: one.acquired + other.acquired,
        opened: one.opened + other.opened,
        retired: one.retired + other.retired,
        timed_out: one.timed_out + other.timed_out,
        connect_failures: one.connect_failures + other.connect_failures,
        found_dead: one.found_dead + other.found_dead,
        slow_acquires: one.slow_acquires + other.slow_acquires,
        leaks: one.leaks + other.leaks,
        seen_dying: one.seen_dying + other.seen_dying,
        outlived: one.outlived + other.outlived,
        last_connect_error: one.last_connect_error.or(other.last_connect_error),
        ..one
    }
}
