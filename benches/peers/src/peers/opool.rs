//! opool.
//!
//! Promise: prefilled, the borrowed guard, nothing reset or checked.
//! Bias: it pools objects, not connections: it never waits, has no bound on what is out (an empty
//! pool allocates, and what comes back to a full one is dropped), no close and no statistics. It
//! plays only where there is an object for every caller.
//! Cost: one forwarded call.

use std::sync::Arc;

use opool::{Pool, PoolAllocator, RefGuard};

use crate::harness::{Build, Subject};

/// Makes zeros.
pub struct Zeros;

impl PoolAllocator<u64> for Zeros {
    fn allocate(&self) -> u64 {
        0
    }
}

/// The peer.
#[derive(Clone)]
pub struct Opool(Arc<Pool<Zeros, u64>>);

impl Subject for Opool {
    const NAME: &'static str = "opool";
    type Guard<'a> = RefGuard<'a, Zeros, u64>;

    async fn acquire(&self) -> RefGuard<'_, Zeros, u64> {
        self.0.get()
    }

    fn opened(&self) -> usize {
        self.0.len()
    }
}

impl Build for Opool {
    fn build(size: usize) -> Self {
        Self(Arc::new(Pool::new_prefilled(size, Zeros)))
    }
}
