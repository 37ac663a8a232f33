//! The configuration file, read again while it is served: on SIGHUP, and when it changed.

use std::path::{Path, PathBuf};

use plunge::proxy::{FileWatch, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;
use crate::arguments::this_program;
use crate::configuration;

/// What asks for the file to be read again; nothing, where none is served.
pub struct Reloads(Option<Asked>);

struct Asked {
    hangup: Signal,
    watch: FileWatch,
    this: PathBuf,
}

impl Reloads {
    /// Follows what was watched since before it was read.
    pub fn new(watch: Option<FileWatch>) -> Result<Self, Failure> {
        let Some(watch) = watch else {
            return Ok(Self(None));
        };
        let hangup = signal(SignalKind::hangup())
            .map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))?;
        Ok(Self(Some(Asked {
            hangup,
            watch,
            this: this_program()?,
        })))
    }

    /// Reads the file whenever it has to be, for ever.
    pub async fn follow(&mut self, server: &Server) {
        let Some(asked) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                // A change that comes with it is no other reason.
                _ = asked.hangup.recv() => asked.watch.look(),
                () = asked.watch.changed() => {}
            }
            reload(asked.watch.path(), &asked.this, server).await;
        }
    }
}

async fn reload(file: &Path, this: &Path, server: &Server) {
    let mistakes = match configuration::load(file, this) {
        Ok(Ok(config)) => match server.reload(config).await {
            Ok(done) => {
                tracing::info!(?done, "the configuration was read again");
                for what in done.later {
                    tracing::warn!(
                        "{what} changed in the configuration: that takes a restart, what was there stays in force until then"
                    );
                }
                return;
            }
            // The server has noted it.
            Err(reasons) => return say(&reasons),
        },
        Ok(Err(mistakes)) => mistakes,
        Err(Failure::Usage(reason) | Failure::Run(reason)) => vec![reason],
        Err(Failure::Said) => return,
    };
    say(&mistakes);
    server.note_mistakes(mistakes);
}

fn say(mistakes: &[String]) {
    for mistake in mistakes {
        tracing::error!("{mistake}");
    }
    tracing::error!("the configuration was not taken over: the one before stays in force");
}
