//! bb8, with and without its test at check-out (its default).
//!
//! Promise: no life-time or idle limits, the borrowed guard (no reference count a lease), its
//! `parking_lot` feature; the test does nothing.
//! Bias: its 30 s connection time-out cannot be switched off. Newcomers pass its waiters.
//! Cost: one forwarded call.

use std::convert::Infallible;
use std::hint::black_box;

use bb8::{ManageConnection, Pool, PooledConnection};

use crate::harness::{Build, Subject, opening};

/// Opens zeros.
pub struct Zeros;

impl ManageConnection for Zeros {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        opening().await;
        Ok(0)
    }

    async fn is_valid(&self, _object: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _object: &mut u64) -> bool {
        false
    }
}

/// The peer; `TESTED` says whether it tests at check-out.
#[derive(Clone)]
pub struct Bb8<const TESTED: bool>(Pool<Zeros>);

impl<const TESTED: bool> Subject for Bb8<TESTED> {
    const NAME: &'static str = match TESTED {
        true => "bb8, tested",
        false => "bb8",
    };
    type Guard<'a> = PooledConnection<'a, Zeros>;

    async fn acquire(&self) -> PooledConnection<'_, Zeros> {
        self.0
            .get()
            .await
            .expect("no case exhausts the pool for thirty seconds")
    }

    /// As a caller writes it: without the harness's future around the pool's own.
    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            let object = self.0.get().await;
            black_box(&object.expect("no case exhausts the pool for thirty seconds"));
        }
    }

    fn opened(&self) -> usize {
        self.0.state().connections as usize
    }
}

impl<const TESTED: bool> Build for Bb8<TESTED> {
    fn build(size: usize) -> Self {
        let builder = Pool::builder()
            .max_size(size as u32)
            .test_on_check_out(TESTED)
            .max_lifetime(None)
            .idle_timeout(None);
        Self(builder.build_unchecked(Zeros))
    }
}
