//! The JSON-RPC envelope: what the proxy reads of a message, and the few bytes it may replace.

mod broken;
mod changes;
mod complete;
mod envelope;
mod fault;
mod id;
mod mended;
mod params;
mod splice;
pub mod subscription;
#[cfg(test)]
mod tests;

pub use broken::broken_answer;
pub use changes::Changes;
pub use complete::missing_members;
pub use envelope::{Envelope, EnvelopeError, Kind, batch_items, is_batch, parse, single_line};
pub use fault::{Code, Fault, GATEKEEPERS};
pub use id::{RawId, RequestId};
pub use mended::mended;
pub use params::{
    cancelled_request, is_repeatable, older_meta, progress_of, progress_token, resource_uri,
    subscription_of,
};
pub use splice::{Splice, quote};
