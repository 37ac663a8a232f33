//! Gates: how a piece of user code behaves. One for each place where the pool calls some.

use std::future::pending;
use std::time::Duration;

use plunge::{BoxError, Transient, Verdict};

/// How one piece of user code ends, if it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Ok,
    /// Ends well, but takes a while.
    Slow,
    Error,
    /// An error that is said to be passing.
    Transient,
    /// A hook's word that the connection is not wanted.
    Discard,
    Panic,
    Never,
}

impl Gate {
    pub const SLOW: Duration = Duration::from_millis(100);

    pub async fn play(self) -> Result<Verdict, BoxError> {
        match self {
            Self::Ok => Ok(Verdict::Keep),
            Self::Slow => {
                tokio::time::sleep(Self::SLOW).await;
                Ok(Verdict::Keep)
            }
            Self::Error => Err("the gate is shut".into()),
            Self::Transient => Err(Transient::new("the gate is shut for now").into()),
            Self::Discard => Ok(Verdict::Discard),
            Self::Panic => burst(),
            Self::Never => pending().await,
        }
    }

    /// The same for code that cannot wait; what would have to, is no way for it to behave.
    pub fn play_at_once(self) -> Verdict {
        match self {
            Self::Ok => Verdict::Keep,
            Self::Panic => burst(),
            Self::Slow | Self::Error | Self::Transient | Self::Discard | Self::Never => {
                Verdict::Discard
            }
        }
    }
}

/// A panic that prints nothing.
pub fn burst() -> ! {
    std::panic::resume_unwind(Box::new("the gate burst"))
}

/// Whether a hook is set, in which form, and how it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookGate {
    #[default]
    Unset,
    Sync(Gate),
    Async(Gate),
}

impl HookGate {
    pub fn gate(self) -> Gate {
        match self {
            Self::Unset => Gate::Ok,
            Self::Sync(gate) | Self::Async(gate) => gate,
        }
    }

    fn calm(self) -> Self {
        match self {
            Self::Unset => Self::Unset,
            Self::Sync(_) => Self::Sync(Gate::Ok),
            Self::Async(_) => Self::Async(Gate::Ok),
        }
    }
}

/// Whether closing a connection has something to wait for, and how that behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    InPlace(Gate),
    Awaited(Gate),
}

impl Closing {
    pub fn gate(self) -> Gate {
        match self {
            Self::InPlace(gate) | Self::Awaited(gate) => gate,
        }
    }

    fn calm(self) -> Self {
        match self {
            Self::InPlace(_) => Self::InPlace(Gate::Ok),
            Self::Awaited(_) => Self::Awaited(Gate::Ok),
        }
    }
}

/// All gates of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gates {
    pub factory: Gate,
    pub after_create: HookGate,
    pub before_acquire: HookGate,
    pub after_release: HookGate,
    pub health: Gate,
    pub check: Gate,
    pub close: Closing,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            factory: Gate::Ok,
            after_create: HookGate::Unset,
            before_acquire: HookGate::Unset,
            after_release: HookGate::Unset,
            health: Gate::Ok,
            check: Gate::Ok,
            close: Closing::Awaited(Gate::Ok),
        }
    }
}

impl Gates {
    /// The same code, well behaved.
    pub fn calm(self) -> Self {
        Self {
            factory: Gate::Ok,
            after_create: self.after_create.calm(),
            before_acquire: self.before_acquire.calm(),
            after_release: self.after_release.calm(),
            health: Gate::Ok,
            check: Gate::Ok,
            close: self.close.calm(),
        }
    }
}
