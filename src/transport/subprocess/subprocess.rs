//! A child process as a pooled connection.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;

use bytes::Bytes;

use super::command::{Command, CommandError};
use super::counters::LineCounters;
use super::death::Death;
use super::error::{RequestError, SpawnError};
use super::sink::LineSink;
use super::writer::LineWriter;
use crate::PoolableResource;

/// A running child process, spoken to in lines.
pub struct Subprocess {}

impl Subprocess {
    /// Starts a child in its own process group. Takes a [`Command`], a reference to one, or a
    /// command line as [`Command::parse`] reads it.
    ///
    /// # Errors
    ///
    /// See [`SpawnError`]; each says what to do.
    ///
    /// # Cancel safety
    ///
    /// A child that was started for a dropped call is ended.
    #[allow(clippy::type_complexity)]
    pub fn spawn<C>(command: C) -> Pin<Box<dyn Future<Output = Result<Self, SpawnError>> + Send>>
    where
        C: TryInto<Command>,
        C::Error: Into<CommandError>,
    {
        let command: Result<Command, CommandError> = command.try_into().map_err(Into::into);
        Box::pin(async move {
            let _command = command?;
            todo!()
        })
    }

    /// The process id. It may belong to another process once this one is gone.
    pub fn pid(&self) -> u32 {
        todo!()
    }

    /// Why the child is dead; `None` while it may be used.
    pub fn death(&self) -> Option<Death> {
        todo!()
    }

    /// How the process ended, whatever it was dead of; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        todo!()
    }

    /// Sends every line read from now on to `sink`, which replaces an earlier one. The sink of a
    /// child that is dead already learns so at once.
    pub fn attach(&self, sink: Arc<dyn LineSink>) {
        let _ = sink;
        todo!()
    }

    /// Lets the sink go: lines are counted as unsolicited from now on.
    pub fn detach(&self) {
        todo!()
    }

    /// The way in; cheap to clone.
    pub fn writer(&self) -> LineWriter {
        todo!()
    }

    /// What it wrote so far.
    pub fn counters(&self) -> LineCounters {
        todo!()
    }

    /// Writes one line and returns the next line that answers it.
    ///
    /// # Errors
    ///
    /// [`RequestError::Dead`], [`RequestError::LineBreak`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after the line was queued, the child is dead: its answer belongs to nobody.
    pub async fn request(&mut self, line: &[u8]) -> Result<Bytes, RequestError> {
        let _ = line;
        todo!()
    }
}

impl PoolableResource for Subprocess {
    fn is_healthy(&self) -> bool {
        self.death().is_none()
    }

    async fn close(self) {
        todo!()
    }
}
