//! Say: a line for whoever reads along.
//!
//! Promise: a reader that went away, as behind `| head`, is nobody to tell: nothing panics, and what is under
//! way goes on to its end.
//! Cost: a write a line.

/// Prints a line, as `println!` does, and minds nobody who has stopped to read.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        let line = format!($($text)*) + "\n";
        let _ = std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes());
    }};
}
