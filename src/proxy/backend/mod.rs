//! How the requests of clients reach a child, by mode.

mod calls;
mod greeting;
mod look;
mod modern;
mod upstream;

pub use calls::Exchange;
pub use greeting::Initialized;
pub use upstream::{Backend, Way};
