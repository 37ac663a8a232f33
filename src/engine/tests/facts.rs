//! Facts of the engine on one thread.
