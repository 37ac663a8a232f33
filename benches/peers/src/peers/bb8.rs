//! bb8.
//!
//! Promise: untested at check-out, no life-time or idle limits, the borrowed guard (no reference
//! count a lease), its `parking_lot` feature.
//! Bias: its 30 s connection time-out cannot be switched off. Newcomers pass its waiters.
//! Cost: one forwarded call.

use std::convert::Infallible;

use bb8::{ManageConnection, Pool, PooledConnection};

use crate::harness::Subject;

/// Opens zeros.
pub struct Zeros;

impl ManageConnection for Zeros {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn is_valid(&self, _object: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _object: &mut u64) -> bool {
        false
    }
}

/// The peer.
#[derive(Clone)]
pub struct Bb8(Pool<Zeros>);

impl Subject for Bb8 {
    const NAME: &'static str = "bb8";
    type Guard<'a> = PooledConnection<'a, Zeros>;

    fn build(size: usize) -> Self {
        let builder = Pool::builder()
            .max_size(size as u32)
            .test_on_check_out(false)
            .max_lifetime(None)
            .idle_timeout(None);
        Self(builder.build_unchecked(Zeros))
    }

    async fn acquire(&self) -> PooledConnection<'_, Zeros> {
        self.0
            .get()
            .await
            .expect("no case exhausts the pool for thirty seconds")
    }

    fn opened(&self) -> usize {
        self.0.state().connections as usize
    }
}
