//! The pages for operators.

mod metrics;
mod pages;
mod plain;
mod stats;

pub use pages::serve;
