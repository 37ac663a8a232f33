//! `plunge forward`: from its options to its end.

use std::time::Duration;

use plunge::proxy::{ForwardError, ServeOptions, forward_until};
use plunge::transport::{StandardInput, StandardOutput, Subprocess};

use crate::Failure;
use crate::arguments::{Forward, forward_options};
use crate::signals::Signals;
use crate::{log, start};

/// How long requests may go on after the end of the input, and the whole after the signal to end.
const DRAIN: Duration = Duration::from_secs(10);

pub fn run(args: &Forward) -> Result<(), Failure> {
    let options = forward_options(args)?;
    options.check().map_err(Failure::Usage)?;
    // One client: what one thread does it hands to nobody.
    let runtime = start::runtime("warn", 1)?;
    start::serves();
    // As a task: what wakes the future of `block_on` itself has the runtime look at its descriptors once more.
    let task = runtime.spawn(forward_until_signalled(options));
    let ended = runtime
        .block_on(task)
        .unwrap_or_else(|error| Err(Failure::Run(format!("forwarding ended half way: {error}"))));
    // A read of a file or a terminal cannot be called off: nobody waits for the thread in it.
    runtime.shutdown_background();
    ended
}

async fn forward_until_signalled(options: ServeOptions) -> Result<(), Failure> {
    let listen = || {
        Signals::new().map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))
    };
    let (mut first, mut signals) = (listen()?, listen()?);
    let stop = async move {
        first.next().await;
        tracing::info!("shutting down; a second signal ends at once");
    };
    let (input, output) = (StandardInput::open(), StandardOutput::open());
    let ended = tokio::select! {
        biased; // it has taken the first signal, too, before that ends the whole
        () = signals.second() => Ok(()),
        ended = forward_until(stop, options, input, output, DRAIN) => ended.map_err(failure),
    };
    // What is left of children must not outlive this process.
    tokio::select! {
        _ = tokio::time::timeout(DRAIN, Subprocess::settled()) => {}
        () = signals.next() => {}
    }
    log::settle().await;
    ended
}

fn failure(error: ForwardError) -> Failure {
    Failure::Run(error.to_string())
}
