//! Opening: how long a subject's factory takes. Nothing in most cases; a while in the spike and the
//! burst.
//!
//! Promise: every factory of the house asks here, so that all of them are equally slow.
//! Cost: one load an opening; never on a hit. The setting belongs to the process: blocks run one at
//! a time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

static NANOS: AtomicU64 = AtomicU64::new(0);
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Sets how long every later opening takes.
pub fn set_opening(time: Duration) {
    // Relaxed, here and below: set before the tasks that open are spawned.
    NANOS.store(time.as_nanos() as u64, Relaxed);
}

/// How many openings were begun so far.
pub fn openings() -> u64 {
    BEGUN.load(Relaxed)
}

/// Takes as long as an opening takes.
pub async fn opening() {
    BEGUN.fetch_add(1, Relaxed);
    let nanos = NANOS.load(Relaxed);
    if nanos > 0 {
        tokio::time::sleep(Duration::from_nanos(nanos)).await;
    }
}
