//! The `plunge` command.
fn main() {}
