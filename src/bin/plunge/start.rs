//! What every command that serves starts with: a log on standard error, and a runtime.

use std::io;

use tokio::runtime::{Builder, Runtime};

use crate::Failure;

/// Starts both; events down to this level are written, unless `RUST_LOG` says otherwise.
pub fn runtime(level: &str) -> Result<Runtime, Failure> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let mut runtime = Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        runtime.worker_threads(workers());
    }
    let runtime = runtime.enable_all().build();
    runtime.map_err(|error| Failure::Run(format!("no runtime: {error}")))
}

/// Half of the cores: the children need the others, and a request that is alone on the proxy costs
/// half as much where no second worker is woken to look for work (17 µs of processor time against 35).
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}
