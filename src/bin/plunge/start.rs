//! What every command that serves starts with: a log on standard error, and a runtime.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::Failure;

/// Starts both.
pub fn runtime() -> Result<Runtime, Failure> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let runtime = match workers() {
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
/// One worker is this thread itself, which hands nothing from thread to thread.
fn workers() -> usize {
    let asked = std::env::var("TOKIO_WORKER_THREADS").ok();
    asked
        .and_then(|asked| asked.parse().ok())
        .filter(|asked| *asked > 0)
        .unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
        })
}
