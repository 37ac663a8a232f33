//! The heap: what an idle connection weighs, and whether the live heap stays where it was.
//!
//! Promise: live bytes are the allocator's own count, and profiling is off while they are read:
//! dense sampling distorts it.
//! Cost: `weigh` a moment, `watch` some seconds, `steady` a second for some million operations.
//!
//! ```text
//! plunge-heap weigh SUBJECT       a line of a record: what an idle connection of it weighs
//! plunge-heap watch THOUSANDS     lines of a record: the live heap over time
//! plunge-heap steady MILLIONS     fails if the live heap did not return to where it was
//! plunge-heap load THOUSANDS      the same load and nothing else, for a profiler outside
//! ```
//!
//! Exit codes: 0 done, 1 the heap grew, 2 the input is wrong.

#[cfg(feature = "jemalloc")]
mod live;
mod load;
#[cfg(feature = "jemalloc")]
mod steady;
#[cfg(feature = "jemalloc")]
mod weigh;

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["load", thousands] => match thousands.parse() {
            Ok(thousands) => {
                load::Load::start().run(thousands);
                ExitCode::SUCCESS
            }
            Err(_) => usage(),
        },
        #[cfg(feature = "jemalloc")]
        ["weigh", subject] => exactly(|| weigh::weigh(subject)),
        #[cfg(feature = "jemalloc")]
        ["watch", thousands] => match thousands.parse() {
            Ok(thousands) => exactly(|| weigh::watch(thousands)),
            Err(_) => usage(),
        },
        #[cfg(feature = "jemalloc")]
        ["steady", millions] => match millions.parse() {
            Ok(millions) => exactly(|| steady::run(millions)),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

/// Runs `task` where what a thread keeps for reuse is not counted as allocated: the allocator reads
/// that setting once, at the start of a process, so a child is started with it.
#[cfg(feature = "jemalloc")]
fn exactly(task: impl FnOnce() -> ExitCode) -> ExitCode {
    const SETTING: &str = "MALLOC_CONF";
    if std::env::var(SETTING).is_ok_and(|setting| setting.contains("tcache:false")) {
        return task();
    }
    let child = std::env::current_exe().and_then(|program| {
        let mut child = std::process::Command::new(program);
        let arguments = std::env::args_os().skip(1);
        child.args(arguments).env(SETTING, "tcache:false").status()
    });
    match child {
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            ExitCode::from(code.unwrap_or(1))
        }
        Err(error) => {
            eprintln!("plunge-heap: cannot start itself again: {error}");
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: plunge-heap (weigh SUBJECT | watch THOUSANDS | steady MILLIONS | load THOUSANDS); all but \
         `load` need the feature `jemalloc`"
    );
    ExitCode::from(2)
}
