//! The way in to a peer.

use std::time::Duration;

use bytes::Bytes;

use crate::proxy::remote::RemoteWriter;
use crate::proxy::wire::{Code, Fault};
use crate::transport::{LineWriter, WriteError};

/// Sends messages; clones send to the same peer.
#[derive(Clone)]
pub enum PeerWriter {
    /// To a child.
    Child(LineWriter),
    /// To an upstream over HTTP.
    Remote(RemoteWriter),
}

impl PeerWriter {
    /// Sends one message, waiting for a peer that is slow to take it. A request is on its way then; what
    /// expects no answer was taken by an upstream over HTTP.
    ///
    /// # Errors
    ///
    /// The fault of a peer that is gone, or does not take it in time.
    pub async fn write(&self, line: Bytes, patience: Duration) -> Result<(), Fault> {
        match self {
            Self::Child(writer) => write_line(writer, line, patience).await,
            Self::Remote(writer) => writer.write(line, patience).await,
        }
    }

    /// Sends one message if that can be done now; whether it arrives is not told.
    pub fn try_write(&self, line: Bytes) {
        match self {
            // A child that reads so little that its queue is full will not read this either.
            Self::Child(writer) => drop(writer.try_write(line)),
            Self::Remote(writer) => writer.try_write(line),
        }
    }

    /// Ends a child's input after what was written.
    pub fn finish(&self) {
        if let Self::Child(writer) = self {
            writer.finish();
        }
    }
}

async fn write_line(writer: &LineWriter, line: Bytes, patience: Duration) -> Result<(), Fault> {
    match writer.try_write(line.clone()) {
        Ok(()) => return Ok(()),
        Err(WriteError::Full) => {}
        Err(error) => return Err(write_fault(error)),
    }
    match Box::pin(tokio::time::timeout(patience, writer.write(line))).await {
        Ok(written) => written.map_err(write_fault),
        Err(_) => Err(Fault::new(
            Code::TimedOut,
            "the server process does not read its input; nothing was sent",
        )),
    }
}

fn write_fault(error: WriteError) -> Fault {
    match error {
        WriteError::Dead(death) => Fault::new(
            Code::ChildDied,
            format!("the server process is gone: {death}"),
        ),
        other => Fault::new(Code::BadMessage, other.to_string()),
    }
}
