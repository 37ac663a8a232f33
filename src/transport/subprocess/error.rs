//! What can go wrong with a child, told to the caller.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::command::CommandError;
use super::death::Death;
use super::queue::WriteError;
use crate::{BoxError, Transient};

/// Why a child could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// The command line cannot be understood.
    Command(CommandError),
    /// There is no such program.
    NotFound {
        /// What was to be run.
        program: String,
    },
    /// The program is there and may not be run.
    NotExecutable {
        /// What was to be run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The working directory is not there or cannot be entered.
    WorkingDirectory {
        /// What was to be run.
        program: String,
        /// Where it was to be run.
        directory: PathBuf,
    },
    /// The system refused: out of processes, descriptors or memory, for example.
    System {
        /// What was to be run.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Not called on a tokio runtime with input, output and timers enabled.
    NoRuntime,
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The child is dead, and was before the request or became so before its answer.
    Dead(Death),
    /// The request contains a line break, which would make it two.
    LineBreak,
}

impl SpawnError {
    /// Whether another attempt cannot help before something is changed by hand.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::System { .. })
    }

    /// The error as a pool's factory should give it: one that may pass by itself is marked as
    /// [`Transient`], so that callers wait for the next attempt.
    pub fn into_pool_error(self) -> BoxError {
        if self.is_permanent() {
            self.into()
        } else {
            Transient::new(self).into()
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(error) => write!(f, "bad command line: {error}"),
            Self::NotFound { program } => write!(
                f,
                "cannot start `{program}`: no such program; install it, add its folder to PATH, or give its full path"
            ),
            Self::NotExecutable { program, source } => {
                write!(
                    f,
                    "cannot start `{program}`: {source}; check that it is a program and may be executed"
                )
            }
            Self::WorkingDirectory { program, directory } => write!(
                f,
                "cannot start `{program}`: the working directory `{}` cannot be entered; create it or name another",
                directory.display()
            ),
            Self::System { program, source } => write!(
                f,
                "cannot start `{program}`: {source}; look at the limits on processes, descriptors and memory"
            ),
            Self::NoRuntime => f.write_str(
                "children are started on a tokio runtime that was built with `enable_all`",
            ),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Command(error) => Some(error),
            Self::NotExecutable { source, .. } | Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<CommandError> for SpawnError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(death) => write!(f, "the child did not answer: {death}"),
            Self::LineBreak => WriteError::LineBreak.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}
