//! The old design as a subject.
//!
//! Promise: `opened` counts every object ever opened; nothing of it is closed while a case runs.
//! Cost: one forwarded call.

use std::hint::black_box;

use crate::harness::{Build, Subject};
use crate::reference::{LegacyGuard, LegacyPool};

/// The mutexed deque with a return channel.
#[derive(Clone)]
pub struct OldDesign(LegacyPool<u64>);

impl Subject for OldDesign {
    const NAME: &'static str = "old design";
    type Guard<'a> = LegacyGuard<u64>;

    async fn acquire(&self) -> LegacyGuard<u64> {
        self.0.acquire().await
    }

    /// As a caller writes it: without the harness's future around the pool's own.
    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            black_box(&self.0.acquire().await);
        }
    }

    fn opened(&self) -> usize {
        self.0.opened()
    }
}

impl Build for OldDesign {
    fn build(size: usize) -> Self {
        Self(LegacyPool::new(size, || 0))
    }
}
