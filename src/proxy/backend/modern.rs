//! Where requests of the revision without sessions go, and what is answered on behalf of children that
//! know a handshake only.
//!
//! Beside children that belong to sessions a few stateless ones serve such requests, if the server turns
//! out to speak that revision; if not, its clients are told which ones it speaks.

use std::time::Duration;

use tokio::time::Instant;

use super::calls::no_session;
use super::{Backend, Way};
use crate::proxy::guard::Guard;
use crate::proxy::http::Version;
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions};
use crate::proxy::peer::PeerSource;
use crate::proxy::session::SessionTable;
use crate::proxy::shared::{Group, Hello, SharedChild};
use crate::proxy::tasks::Tasks;
use crate::proxy::wire::{Code, Fault};
use crate::sync::{Arc, Mutex};
use crate::{BoxError, OptionsError};

/// The children that serve requests without a session where the others belong to sessions.
pub struct Beside {
    /// They.
    pub group: Arc<Group>,
    /// Since when it is known that the server speaks no such revision.
    refused: Mutex<Option<Instant>>,
}

/// After this it is asked again: what answered then may have been what stands before it, or an older one.
const RECONSIDER: Duration = Duration::from_secs(300);

/// The options of an upstream, for those of its children that no session owns.
fn stateless(options: &ServeOptions) -> ServeOptions {
    ServeOptions {
        mode: Mode::Stateless,
        max_connections: None,
        min_idle: 0,
        ..options.clone()
    }
}

impl Beside {
    /// None is started before the first such request.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(
        source: &PeerSource,
        live: &Live,
        sessions: &Arc<SessionTable>,
        tasks: &Tasks,
        guard: &Arc<Guard>,
    ) -> Result<Self, BoxError> {
        let live = Live::new(stateless(&live.whole()));
        Ok(Self {
            group: Group::new(source, &live, sessions, tasks, guard)?,
            refused: Mutex::new(None),
        })
    }

    /// Changes limits and times.
    ///
    /// # Errors
    ///
    /// As [`Group::tune`].
    pub fn tune(&self, options: &ServeOptions) -> Result<(), OptionsError> {
        self.group.tune(&stateless(options))
    }

    async fn hello(&self, guard: &Arc<Guard>) -> Result<Arc<Hello>, Fault> {
        if self.refuses() {
            return Err(only_older());
        }
        let hello = known_or(guard, self.group.known(), self.group.hello()).await?;
        if hello.is_modern {
            return Ok(hello);
        }
        *self.refused.lock() = Some(Instant::now());
        // A child with a handshake has a state, which clients must not share unasked.
        self.group.dismiss_all();
        Err(only_older())
    }

    fn refuses(&self) -> bool {
        let mut refused = self.refused.lock();
        match *refused {
            Some(since) if since.elapsed() < RECONSIDER => true,
            Some(_) => {
                *refused = None;
                self.group.reconsider();
                false
            }
            None => false,
        }
    }

    /// Ends what is overdue, and children that nobody is to have: one may have started for a client that left.
    pub fn sweep(&self, now: Instant) {
        if self.refused.lock().is_some() {
            self.group.dismiss_all();
        }
        self.group.sweep(now);
    }
}

/// What the children say of themselves. Where none is there its start is a call like any other: the breaker is
/// asked, and learns what came of it.
pub(super) async fn known_or(
    guard: &Arc<Guard>,
    known: Option<Arc<Hello>>,
    asked: impl Future<Output = Result<Arc<Hello>, Fault>>,
) -> Result<Arc<Hello>, Fault> {
    if let Some(hello) = known {
        return Ok(hello);
    }
    let ticket = guard.admit()?;
    let hello = asked.await;
    ticket.end_with(&hello);
    hello
}

fn only_older() -> Fault {
    const OLDER: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
    const _: () = assert!(OLDER.len() == Version::ALL.len());
    let text = "the server behind this proxy needs a session; use one of the supported versions";
    Fault {
        supported: &OLDER,
        ..Fault::new(Code::UnsupportedVersion, text)
    }
}

impl Backend {
    /// The children that serve requests without a session beside those of sessions.
    pub fn beside_children(&self) -> Option<Vec<Arc<SharedChild>>> {
        self.beside.as_ref().map(|beside| beside.group.children())
    }

    /// What shared children, or those of `exclusive`, say of themselves.
    ///
    /// # Errors
    ///
    /// The fault to answer with: none came up, or the breaker is open.
    pub(super) async fn hello(&self) -> Result<Arc<Hello>, Fault> {
        match &self.way {
            Way::Exclusive(children) => {
                known_or(&self.guard, children.known(), children.hello()).await
            }
            Way::Shared(group) => known_or(&self.guard, group.known(), group.hello()).await,
            Way::Session(_) | Way::Oneshot(_) => Err(no_session()),
        }
    }

    /// What the children that serve requests without a session say of themselves; `None` where nobody
    /// asks them.
    ///
    /// # Errors
    ///
    /// The fault to answer with: no child came up, or the server speaks older revisions only.
    pub async fn modern_hello(&self) -> Result<Option<Arc<Hello>>, Fault> {
        match (&self.way, &self.beside) {
            (Way::Shared(_) | Way::Exclusive(_), _) => self.hello().await.map(Some),
            (Way::Session(_), Some(beside)) => beside.hello(&self.guard).await.map(Some),
            (Way::Session(_), None) => Err(only_older()),
            (Way::Oneshot(_), _) => Ok(None),
        }
    }
}
