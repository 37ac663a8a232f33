//! The task that feeds a child.
//!
//! Promise: queued lines reach the child in order, many in one system call when many wait; the
//! child's input is closed when it is dead, when its input was ended, and when this task is dropped.
//! Cost: each line is copied once into a staging buffer; long ones are written from where they are.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use super::death::Death;
use super::link::Link;
use crate::sync::Arc;

/// Bytes staged for one system call: what a pipe holds.
const STAGE_BYTES: usize = 64 << 10;
/// From this length on, a line is written from where it is.
const LONG_LINE_BYTES: usize = 16 << 10;

pub(super) struct Writer {
    link: Arc<Link>,
    stdin: pipe::Sender,
    stage: Vec<u8>,
}

impl Writer {
    pub(super) fn new(link: Arc<Link>, stdin: pipe::Sender) -> Self {
        Self {
            link,
            stdin,
            stage: Vec::new(),
        }
    }

    /// Writes until the queue is closed and empty, the child is dead, or a write fails.
    pub(super) async fn run(mut self) {
        let link = self.link.clone();
        let mut batch = Vec::new();
        loop {
            // Read before the lines are taken: a line queued before the close is not missed.
            let last = link.queue.is_closed();
            link.queue.take(&mut batch);
            if batch.is_empty() {
                if last {
                    return;
                }
                link.queue.changed().await;
                continue;
            }
            if link.is_crowded() {
                // Those who are about to queue a line do it first: fewer, longer writes. A worker runs a task
                // that it woke before all others, so without this every line would be a write.
                tokio::task::yield_now().await;
                link.queue.take(&mut batch);
            }
            if !self.write_batch(&mut batch).await {
                return;
            }
        }
    }

    /// Writes the lines; `false`: the child takes no more.
    async fn write_batch(&mut self, batch: &mut Vec<Bytes>) -> bool {
        let mut released = 0;
        for line in batch.drain(..) {
            released += self.link.queue.cost_of(&line) as usize;
            if line.len() >= LONG_LINE_BYTES {
                if !self.flush().await || !write_all(&self.link, &mut self.stdin, &line).await {
                    return false;
                }
            } else {
                self.stage.extend_from_slice(&line);
            }
            self.stage.push(b'\n');
            if self.stage.len() >= STAGE_BYTES - LONG_LINE_BYTES && !self.flush().await {
                return false;
            }
        }
        if !self.flush().await {
            return false;
        }
        self.link.queue.release(released);
        true
    }

    async fn flush(&mut self) -> bool {
        let written = write_all(&self.link, &mut self.stdin, &self.stage).await;
        self.stage.clear();
        written
    }
}

/// Writes all of `bytes`, unless the child dies meanwhile.
async fn write_all(link: &Link, stdin: &mut pipe::Sender, bytes: &[u8]) -> bool {
    let write = stdin.write_all(bytes);
    tokio::pin!(write);
    loop {
        tokio::select! {
            biased;
            written = &mut write => match written {
                Ok(()) => return true,
                Err(_) => {
                    link.die(Death::WriteFailed);
                    return false;
                }
            },
            // What a dead child takes at once, it gets; nobody waits for it.
            () = std::future::ready(()), if link.state.is_dead() => return false,
            () = link.queue.changed() => {}
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The queue is open: this task was dropped with its runtime.
        if !self.link.queue.is_closed() {
            self.link.die(Death::Unattended);
        }
    }
}
