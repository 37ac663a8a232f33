//! A JSON line for each request.
//!
//! Promise: no request waits for the disk; what does not fit into the queue is dropped and counted.
//! Cost: off by default; on, one allocation for the line, one for its text, and a hand-over to a thread.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use serde::Serialize;
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
    lines: Sender<String>,
    dropped: AtomicU64,
}

impl AccessWriter {
    /// Opens the log; `None` where none is wanted. The thread that writes ends with the last line.
    ///
    /// # Errors
    ///
    /// A file that cannot be opened, or a thread that cannot be started.
    pub fn open(log: &AccessLog) -> io::Result<Option<Arc<Self>>> {
        let out: Box<dyn Write + Send> = match log {
            AccessLog::Off => return Ok(None),
            AccessLog::Stdout => Box::new(io::stdout()),
            AccessLog::Stderr => Box::new(io::stderr()),
            AccessLog::File(path) => {
                Box::new(OpenOptions::new().append(true).create(true).open(path)?)
            }
        };
        let (lines, mut queue) = channel(QUEUE);
        std::thread::Builder::new()
            .name(String::from("plunge-access"))
            .spawn(move || drain(&mut queue, BufWriter::new(out)))?;
        let dropped = AtomicU64::new(0);
        Ok(Some(Arc::new(Self { lines, dropped })))
    }

    /// Lines that did not fit.
    pub fn dropped(&self) -> u64 {
        // Relaxed: a count for a page.
        self.dropped.load(Ordering::Relaxed)
    }

    fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            // Relaxed: a count for a page.
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes until nobody can send any more; what came together is flushed together.
fn drain(queue: &mut Receiver<String>, mut out: BufWriter<Box<dyn Write + Send>>) {
    loop {
        let line = match queue.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                if let Err(error) = out.flush() {
                    tracing::warn!(%error, "the access log cannot be written");
                }
                match queue.blocking_recv() {
                    Some(line) => line,
                    None => break,
                }
            }
        };
        if let Err(error) = out.write_all(line.as_bytes()) {
            tracing::warn!(%error, "the access log cannot be written");
        }
    }
    // Nobody is left to tell.
    let _ = out.flush();
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
