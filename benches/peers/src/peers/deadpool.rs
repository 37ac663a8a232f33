//! deadpool, managed, in both of its orders.
//!
//! Promise: no time-outs, a recycle that does nothing; first in first out is its default.
//! Bias: it stamps a clock at each return and counts uses, which it cannot be told to leave out.
//! Cost: one forwarded call.

use std::convert::Infallible;
use std::hint::black_box;

use deadpool::managed::{Manager, Metrics, Object, Pool, QueueMode, RecycleResult};

use crate::harness::{Build, Subject, opening};

/// Opens zeros.
pub struct Zeros;

impl Manager for Zeros {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        opening().await;
        Ok(0)
    }

    async fn recycle(&self, _object: &mut u64, _metrics: &Metrics) -> RecycleResult<Infallible> {
        Ok(())
    }
}

/// The peer; `LIFO` says whether the last object that came back goes out first.
#[derive(Clone)]
pub struct Deadpool<const LIFO: bool>(Pool<Zeros>);

impl<const LIFO: bool> Subject for Deadpool<LIFO> {
    const NAME: &'static str = match LIFO {
        true => "deadpool, lifo",
        false => "deadpool",
    };
    type Guard<'a> = Object<Zeros>;

    async fn acquire(&self) -> Object<Zeros> {
        self.0.get().await.expect("the factory never fails")
    }

    /// As a caller writes it: without the harness's future around the pool's own.
    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            let object = self.0.get().await;
            black_box(&object.expect("the factory never fails"));
        }
    }

    fn opened(&self) -> usize {
        self.0.status().size
    }
}

impl<const LIFO: bool> Build for Deadpool<LIFO> {
    fn build(size: usize) -> Self {
        let order = match LIFO {
            true => QueueMode::Lifo,
            false => QueueMode::Fifo,
        };
        let builder = Pool::builder(Zeros).max_size(size).queue_mode(order);
        let pool = builder.build();
        Self(pool.expect("no time-out is set, so no runtime is missing"))
    }
}
