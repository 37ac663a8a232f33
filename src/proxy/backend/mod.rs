//! How the requests of clients reach a child, by mode.

mod calls;
mod greeting;
mod look;
mod modern;
mod upstream;
#[cfg(test)]
mod waiting_tests;

pub use calls::Exchange;
pub use greeting::Initialized;
pub use upstream::{Backend, Way};
