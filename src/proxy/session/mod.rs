//! A client's session: its id, its streams, and in `session` mode its own child.

mod listeners;
mod missed;
mod newborn;
mod nursery;
#[cfg(test)]
mod nursery_tests;
mod outbox;
mod owned;
mod pace;
mod questions;
#[cfg(test)]
mod questions_tests;
mod replay;
mod room;
mod routes;
#[allow(clippy::module_inception)] // One file, one noun; this is the folder's.
mod session;
mod subscribers;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

pub use listeners::Listeners;
pub use nursery::Nursery;
pub use outbox::{Debt, Outbox};
pub use owned::{OwnedChild, cancellation};
pub use replay::{EventId, Reader, Replay};
pub use room::Room;
pub use routes::Routes;
pub use session::Session;
pub use subscribers::{Extent, Pauses, Said, Subscribers, Topic};
pub use table::SessionTable;
