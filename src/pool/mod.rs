//! The pool: what a user holds, configures and gets errors from.

mod resource;

pub use resource::{BoxError, Plain, PoolableResource};
