//! A snapshot of a keyed pool.

/// A keyed pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct KeyedStats {
    /// Keys that have a pool.
    pub keys: usize,
    /// Keys that have a connection open.
    pub active_keys: u32,
    /// Keys where somebody waits because of the global limit.
    pub starving_keys: u32,
    /// Connections of all keys, in whatever state.
    pub open: u32,
    /// How many may be open for all keys together.
    pub max_connections: u32,
    /// Connections retired so far to make room for another key.
    pub evicted: u64,
    /// Empty keys collected so far.
    pub collected: u64,
    /// Whether nothing of any key is handed out.
    pub suspended: bool,
    /// Whether the keyed pool is closed.
    pub closed: bool,
}
