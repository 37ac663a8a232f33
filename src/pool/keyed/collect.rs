//! Collection of empty keys.
//!
//! Promise: a key that has no connection, nobody in line and no handle that keeps it, and was not used
//! for `key_timeout`, loses its pool; who comes to the pool meanwhile finds it closed and looks the
//! key up again. So the table never holds more than the keys in use and those of the last two periods.
//! Cost: one pass over the table a period, and one whenever it doubled.

use std::collections::HashMap;
use std::hash::Hash;

use tokio::time::Instant;

use super::pool::Inner;
use crate::engine::GateWord;
use crate::pool::handle::Pool;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering, Weak, fence};

/// A table smaller than this is not worth a pass of its own.
const SMALL: usize = 1_024;

pub(super) struct Collector<K> {
    /// A task makes the passes.
    duty: Duty,
    /// The size of the table at which an insertion makes one.
    due: AtomicUsize,
    /// The keys that the last pass found empty.
    empty: Mutex<HashMap<K, Empty>>,
    /// Held while a pass is made.
    passing: Mutex<()>,
}

/// An empty key.
#[derive(Clone, Copy)]
struct Empty {
    /// How often it had been used.
    used: u64,
    /// The first pass that found it so.
    since: Instant,
}

impl<K> Collector<K> {
    pub(super) fn new() -> Self {
        Self {
            duty: Duty::default(),
            due: AtomicUsize::new(SMALL),
            empty: Mutex::new(HashMap::new()),
            passing: Mutex::new(()),
        }
    }
}

/// Sees to it that somebody collects. Called when a key was added.
pub(super) fn after_insert<K, T>(inner: &Arc<Inner<K, T>>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    let collector = &inner.collector;
    // Where there is no runtime, the insertions that come make the passes.
    let _ = inner
        .runtimes
        .spawn(|| Seat::take(inner).map(Seat::collect));
    // Also while a task runs: its runtime may be one that nobody drives.
    // Relaxed: a pass more or less does no harm.
    let size = inner.table.len();
    if size >= collector.due.load(Ordering::Relaxed) {
        pass(inner);
        let due = (inner.table.len() * 2).max(SMALL);
        collector.due.store(due, Ordering::Relaxed);
    }
}

/// Whether a task makes the passes.
#[derive(Debug, Default)]
struct Duty(AtomicBool);

impl Duty {
    /// Asked after an insertion. `true`: there is none, and the caller starts one.
    fn begin(&self) -> bool {
        // SeqCst: between the insertion and this flag; pairs with the fence in `end`. Either the
        // task sees the key or the caller sees that the task ended.
        fence(Ordering::SeqCst);
        !self.0.load(Ordering::SeqCst) && !self.0.swap(true, Ordering::SeqCst)
    }

    /// Ends it when there is nothing to do, unless by a last look there is. `false`: go on.
    fn end(&self, is_needed: impl FnOnce() -> bool) -> bool {
        self.leave();
        // SeqCst: between the flag and the table; see `begin`.
        fence(Ordering::SeqCst);
        !is_needed() || self.0.swap(true, Ordering::SeqCst)
    }

    fn leave(&self) {
        // SeqCst: as in `begin`.
        self.0.store(false, Ordering::SeqCst);
    }
}

/// The task's place: when it is cut off, the next insertion starts another.
struct Seat<K, T: Send + 'static>(Weak<Inner<K, T>>);

impl<K, T> Seat<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// The place, unless somebody has it. Whoever lost it with a runtime asks anew.
    fn take(inner: &Arc<Inner<K, T>>) -> Option<Self> {
        let begun = inner.collector.duty.begin();
        begun.then(|| Self(Arc::downgrade(inner)))
    }

    /// Makes the passes as long as there are keys.
    async fn collect(mut self) {
        loop {
            let Some(period) = self.0.upgrade().map(|inner| inner.key_timeout) else {
                return;
            };
            tokio::time::sleep(period).await;
            let Some(inner) = self.0.upgrade() else {
                return;
            };
            pass(&inner);
            let table = &inner.table;
            if table.is_empty() && inner.collector.duty.end(|| !table.is_empty()) {
                drop(std::mem::take(&mut self.0));
                return;
            }
        }
    }
}

impl<K, T: Send + 'static> Drop for Seat<K, T> {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.collector.duty.leave();
        }
    }
}

/// Collects the keys that earlier passes found empty, too, a period ago or more, and not used since.
fn pass<K, T>(inner: &Arc<Inner<K, T>>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    // A second one would find no times, and write its own over those of the first.
    let Some(_one_at_a_time) = inner.collector.passing.try_lock() else {
        return;
    };
    let before = std::mem::take(&mut *inner.collector.empty.lock());
    let mut empty = HashMap::new();
    let now = Instant::now();
    let table = inner.table.pin();
    for (key, pool) in table.iter() {
        // SeqCst: as in `align`; here any order would do. A key suspended alone stays so.
        let alone = pool.body().is_suspended() && !inner.suspended.load(Ordering::SeqCst);
        let Some(used) = used_so_far(pool).filter(|_| !alone) else {
            continue;
        };
        let known = before.get(key).filter(|known| known.used == used);
        let since = known.map_or(now, |known| known.since);
        // Passes come at any time: it is the key's own time that counts.
        let over = known.is_some() && now.duration_since(since) >= inner.key_timeout;
        if over && pool.body().shut_if_unused() {
            let _ = table.remove_if(key, |_, present| present.is_closed());
            inner.collected.add(1);
        } else {
            empty.insert(key.clone(), Empty { used, since });
        }
    }
    // The keys are the user's: dropped outside the lock.
    let _before = std::mem::replace(&mut *inner.collector.empty.lock(), empty);
}

/// How much an empty pool was used; `None`: it is not empty, or somebody beside the table keeps it.
fn used_so_far<T: Send + 'static>(pool: &Pool<T>) -> Option<u64> {
    let body = pool.body();
    let counters = &body.host().counters;
    let empty =
        body.capacity().open() == 0 && !body.gate().has(GateWord::LINE) && pool.is_only_handle();
    let used = counters.retired_uses.get() + counters.opened.get();
    empty.then(|| used + counters.connect_failures.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_inserted_while_the_task_ends_is_collected_by_somebody() {
        let duty = Duty::default();
        assert!(duty.begin() && !duty.begin(), "one task");
        // Before the flag falls: the last look sees the key.
        assert!(!duty.end(|| true), "the task goes on");
        assert!(!duty.begin());
        // After it: another task is there, whatever the last look sees.
        assert!(duty.end(|| duty.begin()), "this one is over");
        assert!(!duty.begin());
        assert!(duty.end(|| false));
        assert!(duty.begin());
    }
}
