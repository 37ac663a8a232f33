//! Stdio: an MCP server over standard streams that is fast, slow, bursting or mortal, as it is told.
//!
//! Promise: answers come in the order of their requests; what is slow delays each answer, not the
//! server: any number of requests are under way at once. It ends with its input.
//! Cost: one thread, and a second one where answers are held back.

use std::io::{self, BufRead, BufReader, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::answer::answer;

/// How it behaves; fast and immortal if nothing is said.
#[derive(Args)]
pub struct Script {
    /// Hold every answer back for so long.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay_ms: u64,
    /// Give answers only every so often, all at once.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    burst_ms: u64,
    /// Stand still for a while after every hundredth answer.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    stall_ms: u64,
    /// Die in the middle of the request after so many answers, and up to twice as many: not all at once.
    #[arg(long, value_name = "N")]
    die_after: Option<u64>,
}

/// Answers between two stalls.
const STALL_EVERY: u64 = 100;

/// Serves until the input ends.
pub fn serve(script: &Script) -> io::Result<ExitCode> {
    let lives = script
        .die_after
        .map(|least| least + u64::from(std::process::id()) % least.max(1));
    let start = Instant::now();
    let mut input = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let (sender, receiver) = channel();
    let is_held_back = script.delay_ms > 0 || script.burst_ms > 0;
    let writer = is_held_back.then(|| thread::spawn(move || write_when_due(&receiver)));
    let (mut line, mut out, mut answers) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if lives.is_some_and(|lives| answers >= lives) {
            std::process::exit(3);
        }
        if answer(&line, &mut out) {
            out.push(b'\n');
            answers += 1;
            if script.stall_ms > 0 && answers.is_multiple_of(STALL_EVERY) {
                thread::sleep(Duration::from_millis(script.stall_ms));
            }
        }
        if is_held_back {
            let _ = sender.send((due(script, start), std::mem::take(&mut out)));
        } else if input.buffer().is_empty() && !out.is_empty() {
            // What was asked at once is answered at once.
            io::stdout().lock().write_all(&out)?;
            out.clear();
        }
    }
    drop(sender);
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    Ok(ExitCode::SUCCESS)
}

/// When an answer that is ready now may go out.
fn due(script: &Script, start: Instant) -> Instant {
    let ready = Instant::now() + Duration::from_millis(script.delay_ms);
    match script.burst_ms {
        0 => ready,
        every => {
            let gone = ready.duration_since(start).as_millis() as u64;
            start + Duration::from_millis(gone.div_ceil(every) * every)
        }
    }
}

fn write_when_due(receiver: &Receiver<(Instant, Vec<u8>)>) {
    for (due, out) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if io::stdout().lock().write_all(&out).is_err() {
            return;
        }
    }
}
