//! What every command that serves starts with: a log on standard error, and a runtime.

use std::io::{self, IsTerminal};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Failure;
use crate::log::Log;

static STARTED: OnceCell<()> = OnceCell::const_new();

/// Notes that it serves.
pub fn serves() {
    // A second time changes nothing.
    let _ = STARTED.set(());
}

/// Starts both; events down to this level are written, unless `RUST_LOG` says otherwise, and there are so many
/// workers, unless `TOKIO_WORKER_THREADS` does. One worker is this thread itself, which hands nothing from
/// thread to thread.
pub fn runtime(level: &str, workers: usize) -> Result<Runtime, Failure> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let log = Log::open().map_err(|error| Failure::Run(format!("no log: {error}")))?;
    // While it starts, what the pools warn of is said again, in one line, with what to do.
    let is_news = dynamic_filter_fn(|event, _| STARTED.initialized() || event.target() != "plunge");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.clone())
        .with_ansi(io::stderr().is_terminal())
        .finish()
        .with(is_news)
        .init();
    let asked = std::env::var("TOKIO_WORKER_THREADS").ok();
    let asked = asked.and_then(|asked| asked.parse().ok());
    let runtime = match asked.filter(|asked| *asked > 0).unwrap_or(workers) {
        1 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build(),
    };
    runtime.map_err(|error| Failure::Run(format!("no runtime: {error}")))
}

/// Half of the cores: the children need the others, and a request that is alone on the proxy costs
/// half as much where no second worker is woken to look for work (17 µs of processor time against 35).
pub fn half_of_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}
