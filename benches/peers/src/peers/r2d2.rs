//! r2d2.
//!
//! Promise: untested at check-out, no life-time or idle limits.
//! Bias: it blocks its thread, so that it plays only where nobody has to wait, and its own threads
//! open connections. It stamps a clock at each acquire and return, and has a 30 s time-out, which it
//! cannot be told to leave out.
//! Cost: one forwarded call.

use std::convert::Infallible;

use r2d2::{ManageConnection, Pool, PooledConnection};

use crate::harness::{Build, Subject};

/// Opens zeros.
pub struct Zeros;

impl ManageConnection for Zeros {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn is_valid(&self, _object: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _object: &mut u64) -> bool {
        false
    }
}

/// The peer.
#[derive(Clone)]
pub struct R2d2(Pool<Zeros>);

impl Subject for R2d2 {
    const NAME: &'static str = "r2d2";
    type Guard<'a> = PooledConnection<Zeros>;

    async fn acquire(&self) -> PooledConnection<Zeros> {
        self.0.get().expect("no case that it plays exhausts it")
    }

    fn opened(&self) -> usize {
        self.0.state().connections as usize
    }
}

impl Build for R2d2 {
    fn build(size: usize) -> Self {
        let builder = Pool::builder()
            .max_size(size as u32)
            .test_on_check_out(false)
            .max_lifetime(None)
            .idle_timeout(None);
        Self(builder.build(Zeros).expect("the factory never fails"))
    }
}
