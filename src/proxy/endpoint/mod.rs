//! The MCP endpoint: one path, three HTTP methods.

mod batch;
mod begin;
mod modern;
mod old;
mod paths;
mod post;
mod refusal;
mod route;
mod underway;

pub use batch::begin_batch;
pub use begin::{Begun, begin, exchange};
pub use old::posted_session;
pub use paths::{Paths, Spot};
pub use post::{unreadable, untold};
pub use refusal::Refusal;
pub use route::{Spotted, serve, serve_nowhere};
pub use underway::Underway;
