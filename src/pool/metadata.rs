//! What the pool knows of one connection.

use std::time::Duration;

/// Age, idle time, uses and generation of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceMetadata {
    /// Since it was opened. As exact as the pool's tick in hooks, to the millisecond elsewhere.
    pub age: Duration,
    /// How long nobody had it, up to this acquire; zero where it is held already. As exact as the
    /// pool's tick: 100 ms.
    pub idle: Duration,
    /// How long its holder has it by now. As exact as the pool's tick: 100 ms.
    pub held: Duration,
    /// How often it was acquired, this time included.
    pub uses: u64,
    /// The generation of the pool in which it was opened.
    pub generation: u32,
}
