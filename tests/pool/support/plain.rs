//! Pools of plain numbers, opened at once.

use std::convert::Infallible;

use plunge::{OptionsError, Plain, Pool, PoolOptions};

pub fn try_plain(options: PoolOptions<Plain<u64>>) -> Result<Pool<Plain<u64>>, OptionsError> {
    options.connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })
}

pub fn plain(options: PoolOptions<Plain<u64>>) -> Pool<Plain<u64>> {
    try_plain(options).unwrap()
}
