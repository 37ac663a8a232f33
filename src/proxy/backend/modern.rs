//! Where requests of the revision without sessions go, and what is answered on behalf of children that
//! know a handshake only.
//!
//! Beside children that belong to sessions a few stateless ones serve such requests, if the server turns
//! out to speak that revision; if not, its clients are told which ones it speaks. A child with a handshake has a
//! state, which clients must not share unasked, so it never gets in there.

use super::{Backend, Way};
use crate::proxy::guard::{Guard, Share};
use crate::proxy::http::Version;
use crate::proxy::leased::Exclusive;
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions};
use crate::proxy::peer::PeerSource;
use crate::proxy::session::SessionTable;
use crate::proxy::shared::{Group, Hello, SharedChild, Wanted};
use crate::proxy::tasks::Tasks;
use crate::proxy::wire::{Code, Fault};
use crate::resilience::Deadline;
use crate::sync::Arc;
use crate::{BoxError, OptionsError};

/// The children that serve requests without a session where the others belong to sessions.
pub struct Beside {
    /// They.
    pub group: Arc<Group>,
}

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
        let group = Group::new(source, &live, sessions, tasks, guard, Wanted::Modern)?;
        Ok(Self { group })
    }

    /// Changes limits and times.
    ///
    /// # Errors
    ///
    /// As [`Group::tune`].
    pub fn tune(&self, options: &ServeOptions) -> Result<(), OptionsError> {
        self.group.tune(&stateless(options))
    }

    async fn hello(&self, deadline: Deadline) -> Result<Arc<Hello>, Fault> {
        let hello = self.group.hello(deadline).await;
        // What it has just learned.
        hello.map_err(|fault| {
            if self.group.is_older() {
                only_older()
            } else {
                fault
            }
        })
    }
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

    /// What the children that serve requests without a session say of themselves, to a request with this deadline;
    /// `None` where nobody asks them.
    ///
    /// # Errors
    ///
    /// The fault to answer with: no child came up, the server is left alone, or it speaks older revisions only.
    pub async fn modern_hello(&self, deadline: Deadline) -> Result<Option<Arc<Hello>>, Fault> {
        let share = Share::Elsewhere; // when the request that it is for is sent
        let hello = match (&self.way, &self.beside) {
            (Way::Shared(group), _) => self.hello_of(group, share, deadline).await,
            (Way::Exclusive(children), _) => {
                let latest = Version::LATEST;
                self.hello_of_one(children, latest, share, deadline).await
            }
            (Way::Session(_), Some(beside)) => match beside.group.known() {
                Some(hello) => Ok(hello),
                None if beside.group.is_older() => Err(only_older()),
                None => self.asked(beside.hello(deadline), share).await,
            },
            (Way::Session(_), None) => Err(only_older()),
            (Way::Oneshot(_), _) => return Ok(None),
        };
        hello.map(Some)
    }

    /// What shared children say of themselves.
    pub(super) async fn hello_of(
        &self,
        group: &Arc<Group>,
        share: Share,
        deadline: Deadline,
    ) -> Result<Arc<Hello>, Fault> {
        match group.known() {
            Some(hello) => Ok(hello),
            None => self.asked(group.hello(deadline), share).await,
        }
    }

    /// What children say of themselves that have a request at a time.
    pub(super) async fn hello_of_one(
        &self,
        children: &Exclusive,
        wanted: Version,
        share: Share,
        deadline: Deadline,
    ) -> Result<Arc<Hello>, Fault> {
        match children.known(wanted) {
            Some(hello) => Ok(hello),
            None => {
                let asking = children.hello(wanted, deadline);
                self.asked(asking, share).await
            }
        }
    }

    /// Waits for a child that is to be asked. That is a call for the breaker: starts that fail open it, and while
    /// it is open none is made.
    async fn asked<T>(
        &self,
        asking: impl Future<Output = Result<T, Fault>>,
        share: Share,
    ) -> Result<T, Fault> {
        let ticket = self.guard.admit(share)?;
        let asked = asking.await;
        if let Err(fault) = &asked {
            ticket.fail(fault);
        }
        // That it came up is no success yet: what its first request comes to is told by that.
        asked
    }
}
