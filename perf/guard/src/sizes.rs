//! Sizes: what every caller's future and every holder's struct contain.
//!
//! Promise: exact; a larger future is a larger task for everybody who awaits it.
//! Cost: none.

use std::convert::Infallible;
use std::mem::{size_of, size_of_val};
use std::time::Duration;

use plunge::{AcquireError, Plain, Pool, PoolConnection, PoolOptions, PoolStats};

type Zeros = Pool<Plain<u64>>;

/// Names and bytes.
pub fn sizes() -> Vec<(&'static str, usize)> {
    let pool: Result<Zeros, _> =
        PoolOptions::new().connect_with(|| async { Ok::<_, Infallible>(Plain(0)) });
    let pool = pool.expect("the options are valid");
    vec![
        ("Pool", size_of::<Zeros>()),
        ("PoolConnection", size_of::<PoolConnection<Plain<u64>>>()),
        ("AcquireError", size_of::<AcquireError>()),
        ("PoolStats", size_of::<PoolStats>()),
        ("future of acquire", size_of_val(&pool.acquire())),
        (
            "future of acquire_timeout",
            size_of_val(&pool.acquire_timeout(Duration::ZERO)),
        ),
        ("future of close", size_of_val(&pool.close(Duration::ZERO))),
    ]
}
