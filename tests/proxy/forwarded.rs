//! A client of `plunge forward` for tests: it writes lines, and sees those that come back.

use std::time::Duration;

use plunge::proxy::{ServeOptions, forward_until};
use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, duplex,
    split,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fixture::PATIENCE;

/// A client of `plunge forward`.
pub struct Forwarded {
    pub input: WriteHalf<DuplexStream>,
    pub lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    pub running: JoinHandle<()>,
}

impl Forwarded {
    pub fn start(options: ServeOptions) -> Self {
        // What is waited for at the end has to end by itself.
        Self::draining(options, 2 * PATIENCE).0
    }

    /// The same with so much time for its end, and the way to have it stop.
    pub fn draining(options: ServeOptions, drain: Duration) -> (Self, oneshot::Sender<()>) {
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            if stopped.await.is_err() {
                std::future::pending().await // nobody will say it
            }
        };
        let (ours, theirs) = duplex(1 << 16);
        let (read, write) = split(theirs);
        let running = tokio::spawn(async move {
            let forwarding = forward_until(stopped, options, read, write, drain);
            forwarding.await.unwrap();
        });
        let (read, input) = split(ours);
        let forwarded = Self {
            input,
            lines: BufReader::new(read).lines(),
            running,
        };
        (forwarded, stop)
    }

    pub async fn tell(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.input.write_all(b"\n").await.unwrap();
    }

    /// The next line.
    pub async fn message(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("a line in time").unwrap().expect("a line");
        serde_json::from_str(&line).unwrap()
    }

    /// The next line that answers something.
    pub async fn answer(&mut self) -> Value {
        loop {
            let message = self.message().await;
            if message.get("method").is_none() {
                return message;
            }
        }
    }

    pub async fn ask(&mut self, message: &Value) -> Value {
        self.tell(&message.to_string()).await;
        self.answer().await
    }

    /// The end of the input; everything that was under way has been answered then.
    pub async fn end(mut self) {
        self.input.shutdown().await.unwrap();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("its end in time")
            .unwrap();
    }
}
