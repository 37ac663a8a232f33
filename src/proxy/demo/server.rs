//! The loop of the demo server: lines in, lines out.
//!
//! Cost: answers to lines that came together leave together; a sleeping call holds up nobody.

use crate::sync::Arc;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};

use crate::sync::Mutex;

use super::answer::{Demo, Outcome};
use super::sleeper::Sleeper;
use crate::transport::Command;

const READ_BUFFER: usize = 64 << 10;

/// The command that runs the demo server: this executable with the argument `demo-server`.
///
/// # Errors
///
/// The system does not say where this executable is.
pub fn demo_command() -> io::Result<Command> {
    Ok(Command::new(env::current_exe()?).arg("demo-server"))
}

/// Serves until the input ends.
///
/// # Errors
///
/// The input cannot be read or the output cannot be written.
pub fn serve_demo(input: impl Read, output: impl Write + Send + 'static) -> io::Result<()> {
    let output = Arc::new(Mutex::new(output));
    let sleeper = Sleeper::start(output.clone())?;
    let mut demo = Demo::default();
    let mut input = BufReader::with_capacity(READ_BUFFER, input);
    let (mut line, mut answers) = (Vec::new(), Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        match demo.answer(&line, &mut answers) {
            Outcome::Done => {}
            Outcome::Sleep { id, ms } => sleeper.sleep(id, ms),
            Outcome::Wake { id } => sleeper.cancel(&id),
        }
        line.clear();
        // Nothing whole is left to read: the answers go out before the next wait.
        if memchr::memchr(b'\n', input.buffer()).is_none() {
            write(&output, &mut answers)?;
        }
    }
    Ok(())
}

fn write(output: &Mutex<impl Write>, answers: &mut Vec<u8>) -> io::Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    let mut output = output.lock();
    output.write_all(answers)?;
    output.flush()?;
    answers.clear();
    Ok(())
}
