//! What to run, and how patient to be with it.
//!
//! Promise: a command line is split like a POSIX shell splits words, and nothing in it is expanded.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::words;

/// A program with its arguments, its surroundings and the limits it is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) clear_env: bool,
    pub(super) current_dir: Option<PathBuf>,
    pub(super) max_line_bytes: usize,
    pub(super) stdin_queue_bytes: usize,
    pub(super) eof_grace: Duration,
    pub(super) term_grace: Duration,
    pub(super) first_answer_grace: Duration,
    pub(super) launcher: Option<(OsString, Vec<OsString>)>,
    pub(super) guardian: Option<(OsString, Vec<OsString>)>,
    pub(super) single_shot: bool,
}

/// Why a command line cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// It names no program.
    Empty,
    /// A quote is opened and never closed.
    OpenQuote(char),
    /// It ends in a backslash.
    LoneBackslash,
    /// This limit is zero, so that nothing could be said.
    ZeroLimit(&'static str),
}

impl Command {
    /// Names the program to run; one without a slash is looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            current_dir: None,
            max_line_bytes: 16 << 20,
            stdin_queue_bytes: 1 << 20,
            eof_grace: Duration::from_secs(2),
            term_grace: Duration::from_secs(2),
            first_answer_grace: Duration::from_millis(20),
            launcher: None,
            guardian: None,
            single_shot: false,
        }
    }

    /// Splits a command line into words: blanks separate, `'…'` and `"…"` quote, `\` escapes.
    /// Variables and patterns are not expanded and no shell is involved.
    ///
    /// # Errors
    ///
    /// An empty line, an open quote, or a backslash at the very end.
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        let mut words = words::split(line)?.into_iter();
        let program = words.next().ok_or(CommandError::Empty)?;
        Ok(Self::new(program).args(words))
    }

    /// Refuses what cannot work.
    pub(super) fn checked(self) -> Result<Self, CommandError> {
        if self.program.is_empty() {
            return Err(CommandError::Empty);
        }
        let limits = [
            ("max_line_bytes", self.max_line_bytes),
            ("stdin_queue_bytes", self.stdin_queue_bytes),
        ];
        match limits.into_iter().find(|(_, bytes)| *bytes == 0) {
            Some((name, _)) => Err(CommandError::ZeroLimit(name)),
            None => Ok(self),
        }
    }

    /// The program; one without a slash is looked up in `PATH`.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// The program as shown in errors.
    pub(super) fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the child's environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable from the environment that the child inherits.
    #[must_use]
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), None));
        self
    }

    /// Starts the child with none of this process's environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.clear_env = true;
        self.env.clear();
        self
    }

    /// Runs the child in this directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(directory.into());
        self
    }

    /// Sets the longest line that the child may write (16 MiB). A longer one ends it.
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Sets how many bytes may wait for a child that does not read (1 MiB). One longer line still
    /// fits into an empty queue.
    #[must_use]
    pub fn stdin_queue_bytes(mut self, bytes: usize) -> Self {
        self.stdin_queue_bytes = bytes;
        self
    }

    /// Sets how long a retired child has from the end of its input to its end (2 s), before SIGTERM.
    #[must_use]
    pub fn eof_grace(mut self, grace: Duration) -> Self {
        self.eof_grace = grace;
        self
    }

    /// Sets how long a retired child has from SIGTERM to its end (2 s), before SIGKILL.
    #[must_use]
    pub fn term_grace(mut self, grace: Duration) -> Self {
        self.term_grace = grace;
        self
    }

    /// Sets how long the first answer to a request is held back (20 ms) to see whether the child
    /// exits after it. One that does not has shown that it stays, and is never held back again; one
    /// that does is served and known to be dead when its answer is returned. Zero turns it off.
    #[must_use]
    pub fn first_answer_grace(mut self, grace: Duration) -> Self {
        self.first_answer_grace = grace;
        self
    }

    /// Starts the program through a launcher: `program`, `args`, the id of this process, then the
    /// program and its arguments. A launcher that calls [`exec_tied_to_parent`] makes the kernel kill
    /// the child when this process dies, of whatever.
    ///
    /// [`exec_tied_to_parent`]: super::exec_tied_to_parent
    #[must_use]
    pub fn launched_by(
        mut self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        self.launcher = Some(owned(program, args));
        self
    }

    /// Has a process of its own, started once for this program, kill what is left of the child's process
    /// group when this program is gone, whatever it died of: `program` with `args`, which has to call
    /// [`guard_groups`](super::guard_groups). The first command that names one names it for all.
    #[must_use]
    pub fn guarded_by(
        mut self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        self.guardian = Some(owned(program, args));
        self
    }

    /// Says that the program answers one request and exits: its input ends after the request, and
    /// it never goes back to the idle ones, however late it exits.
    #[must_use]
    pub fn single_shot(mut self) -> Self {
        self.single_shot = true;
        self
    }
}

impl TryFrom<&str> for Command {
    type Error = CommandError;

    fn try_from(line: &str) -> Result<Self, CommandError> {
        Self::parse(line)
    }
}

impl TryFrom<String> for Command {
    type Error = CommandError;

    fn try_from(line: String) -> Result<Self, CommandError> {
        Self::parse(&line)
    }
}

impl TryFrom<&String> for Command {
    type Error = CommandError;

    fn try_from(line: &String) -> Result<Self, CommandError> {
        Self::parse(line)
    }
}

impl From<&Command> for Command {
    fn from(command: &Command) -> Self {
        command.clone()
    }
}

impl From<Infallible> for CommandError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it names no program"),
            Self::OpenQuote(quote) => write!(f, "the quote {quote} is opened and never closed"),
            Self::LoneBackslash => {
                f.write_str("it ends in a backslash; write \\\\ for a backslash itself")
            }
            Self::ZeroLimit(name) => write!(f, "`{name}` is zero; it must be at least 1"),
        }
    }
}

impl std::error::Error for CommandError {}

/// A program and its arguments, kept.
fn owned(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> (OsString, Vec<OsString>) {
    let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
    (program.as_ref().to_owned(), args.collect())
}
