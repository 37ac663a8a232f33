//! The pool of this crate as a subject.
//!
//! Promise: default options; only the limit is set.
//! Cost: one forwarded call.

use std::convert::Infallible;
use std::hint::black_box;

use plunge::{Plain, Pool, PoolConnection, PoolOptions};

use crate::harness::{Build, Subject, opening};

/// A pool with default options.
#[derive(Clone)]
pub struct Ours(pub Pool<Plain<u64>>);

impl Subject for Ours {
    const NAME: &'static str = "plunge";
    type Guard<'a> = PoolConnection<Plain<u64>>;

    async fn acquire(&self) -> PoolConnection<Plain<u64>> {
        self.0
            .acquire()
            .await
            .expect("no case exhausts the pool for two seconds")
    }

    /// As a caller writes it: without the harness's future around the pool's own.
    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            let connection = self.0.acquire().await;
            black_box(&connection.expect("no case exhausts the pool for two seconds"));
        }
    }

    fn opened(&self) -> usize {
        self.0.stats().open as usize
    }
}

impl Build for Ours {
    fn build(size: usize) -> Self {
        let options = PoolOptions::new().max_connections(size as u32);
        let pool = options.connect_with(|| async {
            opening().await;
            Ok::<_, Infallible>(Plain(0))
        });
        Self(pool.expect("the options are valid"))
    }
}
