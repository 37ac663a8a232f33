//! One client over standard input and output.

#[allow(clippy::module_inception)] // One file, one noun; this is the folder's.
mod forward;
mod lines;
mod overtaking;
mod waiting;

pub use forward::{ForwardError, forward, forward_until};
