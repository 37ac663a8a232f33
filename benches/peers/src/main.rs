//! Peers: every case, played by other pools beside ours.
//!
//! Promise: in turns in one process; the versions of the peers are printed first.
//! Cost: about twenty minutes; `--quick` two; a case's name as argument runs it alone.
//!
//! ```text
//! cargo run --release -p plunge-peers -- [--quick] [CASE ...]
//! ```

use std::process::ExitCode;

use plunge_peers::harness::run;
use plunge_peers::{BARS, roster, say, versions};

fn main() -> ExitCode {
    let versions: Vec<String> = versions()
        .into_iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    say!("{}", versions.join(", "));
    run(&roster(), BARS)
}
