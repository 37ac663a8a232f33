//! The calls of the demo server that sleep: one thread wakes them in order of their time.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::time::Instant;

use super::answer::text_result;
use crate::sync::{Arc, Mutex};

/// When a call wakes, and its raw id; then how long it sleeps.
type Asleep = Mutex<BTreeMap<(Instant, String), u64>>;

/// Holds the calls that sleep.
pub struct Sleeper {
    asleep: Arc<Asleep>,
    thread: Thread,
}

impl Sleeper {
    /// Starts the thread; it ends with the process, or when the output does.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(output: Arc<Mutex<impl Write + Send + 'static>>) -> io::Result<Self> {
        let asleep = Arc::new(Asleep::default());
        let run = {
            let asleep = asleep.clone();
            move || run(&asleep, &output)
        };
        let handle = thread::Builder::new()
            .name(String::from("demo-sleeper"))
            .spawn(run)?;
        Ok(Self {
            asleep,
            thread: handle.thread().clone(),
        })
    }

    /// Answers the call with this raw id after so many milliseconds.
    pub fn sleep(&self, id: String, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        self.asleep.lock().insert((until, id), ms);
        self.thread.unpark();
    }

    /// Forgets a call.
    pub fn cancel(&self, id: &str) {
        self.asleep.lock().retain(|(_, asleep), _| asleep != id);
    }
}

fn run(asleep: &Asleep, output: &Mutex<impl Write>) {
    loop {
        let mut line = Vec::new();
        let pause = due(asleep, &mut line);
        if !line.is_empty() {
            let mut output = output.lock();
            if output
                .write_all(&line)
                .and_then(|()| output.flush())
                .is_err()
            {
                return;
            }
        }
        match pause {
            Some(pause) => thread::park_timeout(pause),
            None => thread::park(),
        }
    }
}

/// Writes the answers that are due, and says how long it is to the next.
fn due(asleep: &Asleep, line: &mut Vec<u8>) -> Option<Duration> {
    let mut asleep = asleep.lock();
    let now = Instant::now();
    while let Some(first) = asleep.first_entry() {
        let until = first.key().0;
        if until > now {
            return Some(until - now);
        }
        let ((_, id), ms) = first.remove_entry();
        text_result(line, &id, &format!("slept {ms} ms"));
    }
    None
}
