//! sqlx's pool as a subject.
//!
//! Promise: untested before acquire, no life-time or idle limits, an acquire time-out that no case
//! reaches; its connection is a zero whose ping is ready at once.
//! Bias: it pings at each return and spawns a task for it, and arms a time-out at each acquire,
//! which it cannot be told to leave out.
//! Cost: one forwarded call.

use std::hint::black_box;
use std::time::Duration;

use sqlx_core::pool::{Pool, PoolConnection, PoolOptions};

use super::database::{Nowhere, Zeros};
use crate::harness::{Build, Subject};

/// The peer.
#[derive(Clone)]
pub struct Sqlx(Pool<Zeros>);

impl Subject for Sqlx {
    const NAME: &'static str = "sqlx";
    type Guard<'a> = PoolConnection<Zeros>;

    async fn acquire(&self) -> PoolConnection<Zeros> {
        self.0.acquire().await.expect("the factory never fails")
    }

    /// As a caller writes it: without the harness's future around the pool's own.
    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            let object = self.0.acquire().await;
            black_box(&object.expect("the factory never fails"));
        }
    }

    fn opened(&self) -> usize {
        self.0.size() as usize
    }
}

impl Build for Sqlx {
    fn build(size: usize) -> Self {
        let options = PoolOptions::new()
            .max_connections(size as u32)
            .acquire_timeout(Duration::from_secs(60))
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false);
        Self(options.connect_lazy_with(Nowhere))
    }
}
