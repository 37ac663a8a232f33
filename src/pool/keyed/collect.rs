//! Collection of empty keys.
//!
//! Promise: a key that has no connection and nobody in line, and was not used for `key_timeout`,
//! loses its pool; who comes to the pool meanwhile finds it closed and looks the key up again. So
//! the table never holds more than the keys in use and those of the last two periods.
//! Cost: one pass over the table a period, and one whenever it doubled.

use std::collections::HashMap;
use std::hash::Hash;

use super::pool::Inner;
use crate::pool::handle::Pool;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering, Weak};

/// A table smaller than this is not worth a pass of its own.
const SMALL: usize = 1_024;

pub(super) struct Collector<K> {
    /// A task makes the passes.
    running: AtomicBool,
    /// The size of the table at which an insertion makes one.
    due: AtomicUsize,
    /// The keys that the last pass found empty, and how often each had been used by then.
    empty: Mutex<HashMap<K, u64>>,
}

impl<K> Collector<K> {
    pub(super) fn new() -> Self {
        Self {
            running: AtomicBool::new(false),
            due: AtomicUsize::new(SMALL),
            empty: Mutex::new(HashMap::new()),
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
    // Relaxed, all of them: one caller wins, and a pass more does no harm.
    let running = collector.running.load(Ordering::Relaxed);
    if !running && !collector.running.swap(true, Ordering::Relaxed) {
        let period = inner.key_timeout;
        let mut seat = Some(Seat(Arc::downgrade(inner)));
        let started = inner.runtimes.spawn(|| {
            let seat = seat.take().unwrap_or_else(|| Seat(Arc::downgrade(inner)));
            Some(async move {
                loop {
                    tokio::time::sleep(period).await;
                    match seat.0.upgrade() {
                        Some(inner) if pass(&inner) => {}
                        _ => return,
                    }
                }
            })
        });
        // Where there is none, the insertions that come make the passes.
        let _ = started;
    }
    // Also while a task runs: its runtime may be one that nobody drives.
    let size = inner.table.len();
    if size >= collector.due.load(Ordering::Relaxed) {
        pass(inner);
        let due = (inner.table.len() * 2).max(SMALL);
        collector.due.store(due, Ordering::Relaxed);
    }
}

/// The task's place: when it ends, in whatever way, the next insertion starts another.
struct Seat<K, T: Send + 'static>(Weak<Inner<K, T>>);

impl<K, T: Send + 'static> Drop for Seat<K, T> {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            // Relaxed: as above.
            inner.collector.running.store(false, Ordering::Relaxed);
        }
    }
}

/// Collects the keys that were empty at the last pass, too, and not used since. Tells whether any
/// key is left.
fn pass<K, T>(inner: &Arc<Inner<K, T>>) -> bool
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    let before = std::mem::take(&mut *inner.collector.empty.lock());
    let mut empty = HashMap::new();
    let table = inner.table.pin();
    for (key, pool) in table.iter() {
        let Some(used) = used_so_far(pool) else {
            continue;
        };
        if before.get(key) == Some(&used) && pool.body().shut_if_unused() {
            let _ = table.remove_if(key, |_, present| present.is_closed());
            inner.collected.add(1);
        } else {
            empty.insert(key.clone(), used);
        }
    }
    // The keys are the user's: dropped outside the lock.
    let _before = std::mem::replace(&mut *inner.collector.empty.lock(), empty);
    !inner.table.is_empty()
}

/// How much an empty pool was used; `None`: it is not empty.
fn used_so_far<T: Send + 'static>(pool: &Pool<T>) -> Option<u64> {
    let body = pool.body();
    let counters = &body.host().counters;
    let empty = body.capacity().open() == 0 && body.gate().waiters() == 0;
    let used = counters.retired_uses.get() + counters.opened.get();
    empty.then(|| used + counters.connect_failures.get())
}
