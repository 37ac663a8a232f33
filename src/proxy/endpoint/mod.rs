//! The MCP endpoint: one path, three HTTP methods.

mod batch;
mod old;
mod post;
mod refusal;
mod route;

pub use refusal::Refusal;
pub use route::serve;
