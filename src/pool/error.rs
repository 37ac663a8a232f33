//! What can go wrong, step by step: building, acquiring, opening.
//!
//! Promise: matched, never parsed; an error is one pointer, and keeps what caused it.

use std::error::Error;
use std::fmt;

use super::resource::BoxError;
use super::stats::PoolStats;
use crate::sync::Arc;

/// An error that several waiters share.
pub(crate) type SharedError = Arc<dyn Error + Send + Sync + 'static>;

/// Options that contradict each other, refused when the pool is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionsError {
    field: &'static str,
    problem: String,
}

impl OptionsError {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }

    /// The options of a pool that is the parent's of this process.
    pub(crate) fn forked() -> Self {
        Self::new("", FORKED)
    }

    /// The name of the option to change; empty where it is no option that is in the way.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            return f.write_str(&self.problem);
        }
        write!(f, "pool option `{}`: {}", self.field, self.problem)
    }
}

impl Error for OptionsError {}

/// Why an acquire gave no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcquireErrorKind {
    /// The pool is closed.
    Closed,
    /// A connection could not be opened; see [`AcquireError::connect_error`].
    Connect,
    /// The time for this acquire ran out in the phase named.
    TimedOut(AcquirePhase),
    /// As many callers wait as `max_waiters` allows.
    TooManyWaiters,
    /// A blocking acquire was called from async code, whose thread it would block: use
    /// [`acquire`](super::Pool::acquire).
    InAsyncCode,
    /// There is no runtime to open a connection on: call from within one, or set `runtime`.
    NoRuntime,
    /// The pool was built before this process was forked off another: its connections are the
    /// other's. Build a pool in each process.
    Forked,
    /// The settings of this key of a keyed pool contradict each other.
    InvalidOptions,
}

/// A step of an acquire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcquirePhase {
    /// In line for a connection that others hold.
    Wait,
    /// While connections were being opened, or after that failed.
    Connect,
    /// While a connection that was idle for long was checked.
    Check,
    /// In the hook `before_acquire`.
    Hook,
}

/// An acquire that gave no connection. One pointer in size.
pub struct AcquireError(Box<Details>);

struct Details {
    kind: AcquireErrorKind,
    stats: PoolStats,
    connect_error: Option<SharedError>,
}

impl AcquireError {
    #[cold]
    pub(crate) fn new(
        kind: AcquireErrorKind,
        stats: PoolStats,
        connect_error: Option<SharedError>,
    ) -> Self {
        Self(Box::new(Details {
            kind,
            stats,
            connect_error,
        }))
    }

    /// What happened.
    pub fn kind(&self) -> AcquireErrorKind {
        self.0.kind
    }

    /// The pool as it was when the acquire gave up.
    pub fn stats(&self) -> &PoolStats {
        &self.0.stats
    }

    /// The last failure to open a connection, if that is why, or may be why.
    pub fn connect_error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.connect_error.as_deref()
    }

    /// Whether the pool is closed.
    pub fn is_closed(&self) -> bool {
        self.0.kind == AcquireErrorKind::Closed
    }

    /// Whether the time ran out, in whichever phase.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, AcquireErrorKind::TimedOut(_))
    }
}

impl fmt::Debug for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireError")
            .field("kind", &self.0.kind)
            .field("connect_error", &self.0.connect_error)
            .field("stats", &self.0.stats)
            .finish()
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.0.stats;
        match self.0.kind {
            AcquireErrorKind::Closed => write!(f, "the pool is closed"),
            AcquireErrorKind::Connect => write!(f, "no connection could be opened"),
            AcquireErrorKind::TimedOut(AcquirePhase::Wait) => {
                write!(f, "timed out in line for a connection")?;
                write!(
                    f,
                    " ({} leased of {}, {} waiting)",
                    stats.leased, stats.max_connections, stats.waiting
                )
            }
            AcquireErrorKind::TimedOut(AcquirePhase::Connect) => {
                write!(f, "timed out opening a connection")
            }
            AcquireErrorKind::TimedOut(AcquirePhase::Check) => {
                write!(f, "timed out checking an idle connection")
            }
            AcquireErrorKind::TimedOut(AcquirePhase::Hook) => {
                write!(f, "timed out in the hook `before_acquire`")
            }
            AcquireErrorKind::TooManyWaiters => {
                write!(
                    f,
                    "{} callers wait already, which is `max_waiters`",
                    stats.waiting
                )
            }
            AcquireErrorKind::InvalidOptions => write!(f, "the settings of this key are refused"),
            AcquireErrorKind::Forked => f.write_str(FORKED),
            AcquireErrorKind::InAsyncCode => {
                write!(
                    f,
                    "a blocking acquire in async code would block its thread: use `acquire`, or call it in `spawn_blocking`"
                )
            }
            AcquireErrorKind::NoRuntime => {
                write!(
                    f,
                    "no tokio runtime to open a connection on: call from within one, or set `runtime`"
                )
            }
        }?;
        match &self.0.connect_error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl Error for AcquireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0
            .connect_error
            .as_deref()
            .map(|error| error as &(dyn Error + 'static))
    }
}

/// Why nothing could be taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// The pool is closed.
    Closed,
    /// Nothing is idle, or others wait.
    Empty,
    /// The hook `before_acquire` is async: use `acquire`.
    NeedsAwait,
    /// The pool was built before this process was forked off another.
    Forked,
}

/// An error that tells why a closed pool hands nothing out.
pub(crate) trait OfClosed {
    const CLOSED: Self;
    const FORKED: Self;
}

impl OfClosed for AcquireErrorKind {
    const CLOSED: Self = Self::Closed;
    const FORKED: Self = Self::Forked;
}

impl OfClosed for TryAcquireError {
    const CLOSED: Self = Self::Closed;
    const FORKED: Self = Self::Forked;
}

const FORKED: &str = "the pool was built before this process was forked off: its connections belong to the parent; build a pool in each process";

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the pool is closed",
            Self::Forked => FORKED,
            Self::Empty => "no connection is idle",
            Self::NeedsAwait => "the hook `before_acquire` is async: use `acquire`",
        })
    }
}

impl Error for TryAcquireError {}

/// Marks a failure to connect as passing: callers go on waiting while the pool tries again.
///
/// Any other error reaches a waiting caller at once.
///
/// ```
/// use plunge::{BoxError, Transient};
/// let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
/// let error: BoxError = Transient::new(refused).into();
/// assert!(error.downcast_ref::<Transient>().is_some());
/// ```
#[derive(Debug)]
pub struct Transient(BoxError);

impl Transient {
    /// Wraps an error that may be gone at the next attempt.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Transient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Transient {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A step that did not end well for a reason of the pool's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepError {
    TimedOut(&'static str, std::time::Duration),
    Panicked(&'static str, String),
    Refused(&'static str),
    NoRuntime(&'static str),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(step, limit) => write!(f, "{step} did not end within {limit:?}"),
            Self::Panicked(step, message) => write!(f, "{step} panicked: {message}"),
            Self::NoRuntime(step) => write!(
                f,
                "{step} has to wait, and there is no tokio runtime with a timer"
            ),
            Self::Refused(step) => write!(f, "{step} discarded the connection"),
        }
    }
}

impl Error for StepError {}
