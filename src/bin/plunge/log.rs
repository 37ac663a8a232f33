//! The log on standard error, written by a thread of its own.
//!
//! Promise: nobody waits for whoever is to read it: lines that have no room are left out.
//! Cost: a thread, and a copy of each line.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Lines on their way.
const LINES: u32 = 1024;
/// How long the last of them may take.
const LAST_LINES: Duration = Duration::from_secs(1);

static ROOM: Semaphore = Semaphore::const_new(LINES as usize);

/// The way to the thread; a write is a line.
#[derive(Clone)]
pub struct Log(UnboundedSender<(Vec<u8>, SemaphorePermit<'static>)>);

impl Log {
    /// Starts the thread.
    pub fn open() -> io::Result<Self> {
        let (sender, mut lines) = unbounded_channel::<(Vec<u8>, SemaphorePermit<'static>)>();
        let name = String::from("plunge-log");
        thread::Builder::new().name(name).spawn(move || {
            while let Some((line, room)) = lines.blocking_recv() {
                // With standard error closed there is nobody to tell.
                let _ = io::stderr().write_all(&line);
                drop(room);
            }
        })?;
        Ok(Self(sender))
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Ok(room) = ROOM.try_acquire() {
            // The thread never ends.
            let _ = self.0.send((line.to_vec(), room));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until every line so far is written, a moment at most.
pub async fn settle() {
    let _ = tokio::time::timeout(LAST_LINES, ROOM.acquire_many(LINES)).await;
}
