//! A JSON line for each request.
//!
//! Promise: no request waits for the disk; what does not fit into the queue, or cannot be written, is dropped and
//! counted, and told of once each time it begins.
//! Cost: off by default; on, one allocation for the line, one for its text, and a hand-over to a thread.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Context;
use crate::proxy::config::AccessLog;
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::time::unix_now;

/// Lines on their way to the disk.
const QUEUE: usize = 8192;

/// Where the lines go.
pub struct AccessWriter {
    queue: Sender<String>,
    counts: Arc<AccessCounts>,
}

/// What became of the lines, whichever writer they were for.
#[derive(Debug, Default)]
pub struct AccessCounts {
    /// Neither written nor dropped yet.
    pending: AtomicU64,
    dropped: AtomicU64,
    settled: Notify,
}

impl AccessCounts {
    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        // Relaxed: a count for a page.
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends when every line so far is written or dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the lines are written all the same.
    pub async fn settle(&self) {
        loop {
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            // Acquire: pairs with the Release in `settles`; what was written is written.
            if self.pending.load(Ordering::Acquire) == 0 {
                return;
            }
            settled.await;
        }
    }

    fn begins(&self) {
        // Relaxed: the queue hands the line over.
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    fn settles(&self, count: u64) {
        // Release: pairs with the Acquire in `settle`.
        if self.pending.fetch_sub(count, Ordering::Release) == count {
            self.settled.notify_waiters();
        }
    }

    fn drops(&self, count: u64) {
        // Relaxed: a count for a page.
        self.dropped.fetch_add(count, Ordering::Relaxed);
        self.settles(count);
    }
}

impl AccessWriter {
    /// Opens the log; `None` where none is wanted. The thread that writes ends with the last line.
    ///
    /// # Errors
    ///
    /// A file that cannot be opened, or a thread that cannot be started.
    pub fn open(log: &AccessLog, counts: &Arc<AccessCounts>) -> io::Result<Option<Arc<Self>>> {
        let out: Box<dyn Write + Send> = match log {
            AccessLog::Off => return Ok(None),
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::Stderr => Box::new(io::stderr()),
            AccessLog::File(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path);
                Box::new(file.map_err(|error| {
                    let path = path.display();
                    let text = format!(
                        "the access log {path} cannot be opened: {error}; name a file in a folder that is there, and may be written to"
                    );
                    io::Error::new(error.kind(), text)
                })?)
            }
        };
        Self::to(out, counts).map(Some)
    }

    pub(super) fn to(
        out: Box<dyn Write + Send>,
        counts: &Arc<AccessCounts>,
    ) -> io::Result<Arc<Self>> {
        let (sender, queue) = channel(QUEUE);
        let drain = Drain {
            out: BufWriter::new(out),
            counts: counts.clone(),
            unflushed: 0,
            is_failing: false,
        };
        std::thread::Builder::new()
            .name(String::from("plunge-access"))
            .spawn(move || drain.run(queue))?;
        Ok(Arc::new(Self {
            queue: sender,
            counts: counts.clone(),
        }))
    }

    pub(super) fn write(&self, line: String) {
        self.counts.begins();
        if self.queue.try_send(line).is_err() {
            self.counts.drops(1);
        }
    }
}

/// The thread that writes.
struct Drain {
    out: BufWriter<Box<dyn Write + Send>>,
    counts: Arc<AccessCounts>,
    /// Lines since all of them were written.
    unflushed: u64,
    is_failing: bool,
}

impl Drain {
    /// Writes until nobody can send any more; what came together is flushed together.
    fn run(mut self, mut queue: Receiver<String>) {
        loop {
            let line = match queue.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.flush();
                    match queue.blocking_recv() {
                        Some(line) => line,
                        None => break,
                    }
                }
            };
            self.write(&line);
        }
        self.flush();
        self.give_up();
    }

    fn write(&mut self, line: &str) {
        // It fails only where the buffer is full and cannot be emptied.
        match self.out.write_all(line.as_bytes()) {
            Ok(()) => self.unflushed += 1,
            Err(error) => {
                self.counts.drops(1);
                self.fails(&error);
            }
        }
    }

    fn flush(&mut self) {
        let is_proof = self.is_failing && !self.out.buffer().is_empty();
        match self.out.flush() {
            Err(error) => self.fails(&error),
            Ok(()) => {
                self.counts.settles(std::mem::take(&mut self.unflushed));
                if is_proof {
                    self.is_failing = false;
                    tracing::warn!("the access log can be written again");
                }
            }
        }
    }

    /// Counts what could not be written to the end.
    fn give_up(self) {
        let (_, left) = self.out.into_parts();
        let left = left.unwrap_or_default();
        let ends = memchr::memchr_iter(b'\n', &left).count() as u64;
        self.counts.drops(ends.min(self.unflushed));
        self.counts.settles(self.unflushed.saturating_sub(ends));
    }

    fn fails(&mut self, error: &io::Error) {
        if !self.is_failing {
            self.is_failing = true;
            tracing::warn!(%error, "the access log cannot be written: lines are dropped and counted until it can");
        }
    }
}

/// What is known of a request so far.
pub struct Line {
    writer: Arc<AccessWriter>,
    began: Duration,
    fields: Fields,
}

#[derive(Default, Serialize)]
struct Fields {
    time: f64,
    method: String,
    host: Option<String>,
    path: String,
    upstream: Option<String>,
    status: Option<u16>,
    bytes: u64,
    /// To the head of the reply.
    head_ms: Option<f64>,
    /// To its end.
    total_ms: f64,
    request: String,
    trace: String,
}

/// What a line says of a request.
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a str,
    /// The host that it names.
    pub host: Option<&'a [u8]>,
    /// Its path. The query is left out: it may hold the id of a session.
    pub path: &'a str,
    /// Where it goes, if that is known.
    pub upstream: Option<&'a str>,
    /// The proxy's part of its trace.
    pub trace: Context,
}

impl Line {
    /// Begins the line of a request.
    pub fn new(writer: &Arc<AccessWriter>, asked: &Asked<'_>) -> Box<Self> {
        let fields = Fields {
            method: asked.method.to_owned(),
            host: asked
                .host
                .map(|host| String::from_utf8_lossy(host).into_owned()),
            path: asked.path.to_owned(),
            upstream: asked.upstream.map(str::to_owned),
            request: asked.trace.span(),
            trace: asked.trace.id(),
            ..Fields::default()
        };
        Box::new(Self {
            writer: writer.clone(),
            began: unix_now(),
            fields,
        })
    }

    /// Notes the head of the reply.
    pub fn reply(&mut self, status: u16, time: Duration) {
        self.fields.status = Some(status);
        self.fields.head_ms = Some(milliseconds(time));
    }

    /// Writes it.
    pub fn write(mut self, bytes: u64, time: Duration) {
        self.fields.time = milliseconds(self.began) / 1000.0;
        self.fields.bytes = bytes;
        self.fields.total_ms = milliseconds(time);
        // Texts and numbers always serialize.
        if let Ok(mut line) = serde_json::to_string(&self.fields) {
            line.push('\n');
            self.writer.write(line);
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
