//! Live bytes, as jemalloc counts them.
//!
//! Promise: read after the threads' caches were accounted for (`epoch`); bytes, not pages.
//! Cost: a walk over the arenas a reading.

use tikv_jemalloc_ctl::{epoch, stats};

/// How many bytes are allocated and not freed; zero if the allocator does not say.
pub fn live() -> u64 {
    let advanced = epoch::advance();
    advanced
        .and_then(|_| stats::allocated::read())
        .map_or(0, |bytes| bytes as u64)
}
