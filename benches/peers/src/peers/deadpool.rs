//! deadpool, managed.
//!
//! Promise: no time-outs, a recycle that does nothing, its default queue order (first in, first out).
//! Bias: it stamps a clock at each return and counts uses, which it cannot be told to leave out.
//! Cost: one forwarded call.

use std::convert::Infallible;

use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleResult};

use crate::harness::Subject;

/// Opens zeros.
pub struct Zeros;

impl Manager for Zeros {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn recycle(&self, _object: &mut u64, _metrics: &Metrics) -> RecycleResult<Infallible> {
        Ok(())
    }
}

/// The peer.
#[derive(Clone)]
pub struct Deadpool(Pool<Zeros>);

impl Subject for Deadpool {
    const NAME: &'static str = "deadpool";
    type Guard<'a> = Object<Zeros>;

    fn build(size: usize) -> Self {
        let pool = Pool::builder(Zeros).max_size(size).build();
        Self(pool.expect("no time-out is set, so no runtime is missing"))
    }

    async fn acquire(&self) -> Object<Zeros> {
        self.0.get().await.expect("the factory never fails")
    }

    fn opened(&self) -> usize {
        self.0.status().size
    }
}
