//! A child process as a pooled connection.
//!
//! Promise: while it is healthy it is alive as far as anybody here knows, and idle; dropped
//! anywhere, it is retired.
//! Cost: `is_healthy` is one load; a drop is one order to the keeper.

use std::fmt;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;

use super::command::{Command, CommandError};
use super::counters::LineCounters;
use super::death::Death;
use super::error::{RequestError, SpawnError};
use super::keeper::Keeper;
use super::link::Owner;
use super::queue::LineWriter;
use super::reader::Reader;
use super::request::InFlight;
use super::sink::LineSink;
use super::spawner::{self, Started};
use super::stderr::Stderr;
use super::writer::Writer;
use crate::PoolableResource;
use crate::sync::Arc;

/// The way to a new child, as [`Subprocess::spawn`] returns it; it borrows nothing.
pub type Spawning = Pin<Box<dyn Future<Output = Result<Subprocess, SpawnError>> + Send>>;

/// A running child process, spoken to in lines.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plunge::transport::Subprocess;
///
/// let mut child = Subprocess::spawn("my-server --stdio").await?;
/// let answer = child.request(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await?;
/// # Ok(()) }
/// ```
pub struct Subprocess {
    owner: Owner,
}

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
    /// A child that was started for a dropped call is retired.
    ///
    /// # Cost
    ///
    /// About a millisecond on a thread that starts one child after the other.
    pub fn spawn<C>(command: C) -> Spawning
    where
        C: TryInto<Command>,
        C::Error: Into<CommandError>,
    {
        let command: Result<Command, CommandError> = command
            .try_into()
            .map_err(Into::into)
            .and_then(Command::checked);
        Box::pin(async move { Self::start(command?).await })
    }

    async fn start(command: Command) -> Result<Self, SpawnError> {
        let runtime = Handle::try_current().map_err(|_| SpawnError::NoRuntime)?;
        let (program, grace) = (command.name(), command.first_answer_grace);
        let Started {
            owner,
            stdin,
            stdout,
            stderr,
        } = spawner::start(command).await?;
        // tokio panics, and has no other way to tell, if the runtime has no input, output or timers.
        let pipes = catch_unwind(AssertUnwindSafe(|| pipes(stdin, stdout, stderr)));
        let (stdin, stdout, stderr) = pipes
            .map_err(|_| SpawnError::NoRuntime)?
            .map_err(|source| SpawnError::System { program, source })?;
        let link = &owner.0;
        runtime.spawn(Writer::new(link.clone(), stdin).run());
        runtime.spawn(Reader::new(link.clone(), stdout, grace).run());
        runtime.spawn(Stderr::new(link.clone(), stderr).run());
        tracing::debug!(pid = link.pid, "child started");
        Ok(Self { owner })
    }

    /// The process id. It may belong to another process once this one is gone.
    pub fn pid(&self) -> u32 {
        self.owner.0.pid
    }

    /// Why the child is dead; `None` while it may be used.
    pub fn death(&self) -> Option<Death> {
        self.owner.0.state.death()
    }

    /// How the process ended, whatever it was dead of; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.owner.0.state.exit_status()
    }

    /// Sends every line read from now on to `sink`, which replaces an earlier one; that one hears no
    /// more. The sink of a child whose death was told already learns of it at once.
    pub fn attach(&self, sink: Arc<dyn LineSink>) {
        self.owner.0.sink.attach(sink);
    }

    /// Lets the sink go: lines are counted as unsolicited from now on. A line read before may still
    /// reach it.
    pub fn detach(&self) {
        self.owner.0.sink.detach();
    }

    /// The way in; cheap to clone.
    pub fn writer(&self) -> LineWriter {
        LineWriter::new(self.owner.0.clone())
    }

    /// What it wrote so far.
    pub fn counters(&self) -> LineCounters {
        self.owner.0.counters.snapshot()
    }

    /// Writes one line and returns the line that answers it: the next one; if the request starts
    /// like a JSON object or array, the next that does, too. Replaces a sink.
    ///
    /// The child is unhealthy until the answer is here. The answer of a child that died meanwhile is
    /// returned if it came. The first answer is held back for
    /// [`first_answer_grace`](Command::first_answer_grace).
    ///
    /// # Errors
    ///
    /// [`RequestError::Dead`], [`RequestError::LineBreak`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before the answer came, the child is dead: its answer belongs to nobody.
    pub async fn request(&mut self, line: &[u8]) -> Result<Bytes, RequestError> {
        let in_flight = InFlight::send(&self.owner.0, self.writer(), line).await?;
        in_flight.answer().await
    }

    /// Ends the child and its process group now, without a grace.
    pub fn kill(self) {
        self.owner.0.kill();
    }

    /// Waits until every child of this program that died, was dropped or was closed is gone, with
    /// what was left of its process group. For the end of a program, whose exit would leave them.
    pub async fn settled() {
        if let Ok(keeper) = Keeper::get() {
            keeper.settled().await;
        }
    }
}

fn pipes(
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
) -> std::io::Result<(pipe::Sender, pipe::Receiver, pipe::Receiver)> {
    drop(tokio::time::sleep(Duration::ZERO));
    Ok((
        pipe::Sender::from_owned_fd(stdin)?,
        pipe::Receiver::from_owned_fd(stdout)?,
        pipe::Receiver::from_owned_fd(stderr)?,
    ))
}

impl PoolableResource for Subprocess {
    #[inline]
    fn is_healthy(&self) -> bool {
        self.owner.0.state.is_healthy()
    }

    /// Retires the child and waits until it and its process group are gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the retirement goes on without it.
    async fn close(self) {
        let link = &self.owner.0;
        link.die(Death::Retired);
        while !link.state.is_gone() {
            link.gone.notified().await;
        }
    }
}

impl fmt::Debug for Subprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subprocess")
            .field("pid", &self.pid())
            .field("death", &self.death())
            .finish_non_exhaustive()
    }
}
