//! Report: one self-contained page of a record.
//!
//! Promise: no script, no font and no picture from elsewhere; light and dark by the reader's setting.
//! Cost: some hundred kilobytes of text.

mod axis;
mod bars;
mod exact;
mod lines;
mod page;
mod plots;
mod tone;

pub use page::{run, write};
