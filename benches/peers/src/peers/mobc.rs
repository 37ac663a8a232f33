//! mobc.
//!
//! Promise: untested at check-out, no life-time limits, no time-out, as many idle objects as open
//! ones (its default of two would close the rest at each return).
//! Bias: none known.
//! Cost: one forwarded call.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mobc::{Connection, Manager, Pool, async_trait};

use crate::harness::{Build, Subject, opening};

/// Opens zeros and counts them: its own statistics are behind an await.
pub struct Zeros(Arc<AtomicUsize>);

#[async_trait]
impl Manager for Zeros {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        // Relaxed: read after every task has ended.
        self.0.fetch_add(1, Relaxed);
        opening().await;
        Ok(0)
    }

    async fn check(&self, object: u64) -> Result<u64, Infallible> {
        Ok(object)
    }
}

/// The peer.
#[derive(Clone)]
pub struct Mobc(Pool<Zeros>, Arc<AtomicUsize>);

impl Subject for Mobc {
    const NAME: &'static str = "mobc";
    type Guard<'a> = Connection<Zeros>;

    async fn acquire(&self) -> Connection<Zeros> {
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
        // Relaxed: see `connect`.
        self.1.load(Relaxed)
    }
}

impl Build for Mobc {
    fn build(size: usize) -> Self {
        let opened = Arc::new(AtomicUsize::new(0));
        let pool = Pool::builder()
            .max_open(size as u64)
            .max_idle(size as u64)
            .test_on_check_out(false)
            .get_timeout(None)
            .build(Zeros(Arc::clone(&opened)));
        Self(pool, opened)
    }
}
