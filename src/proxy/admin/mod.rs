//! The pages for operators.

mod metrics;
mod pages;
mod stats;

pub use pages::serve;
