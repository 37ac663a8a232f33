//! sqlx's pool, over a database that is none.
//!
//! Promise: see `pool`.
//! Cost: none.

mod database;
mod pool;
mod rows;

pub use pool::Sqlx;
