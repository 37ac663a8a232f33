//! Models and facts of the engine.
