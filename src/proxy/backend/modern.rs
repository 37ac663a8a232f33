//! Where requests of the revision without sessions go, and what is answered on behalf of children that
//! know a handshake only.
//!
//! Beside children that belong to sessions a few stateless ones serve such requests, if the server turns
//! out to speak that revision; if not, its clients are told which ones it speaks.

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
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::{BoxError, OptionsError};

/// The children that serve requests without a session where the others belong to sessions.
pub struct Beside {
    /// They.
    pub group: Arc<Group>,
    /// The server was asked and speaks no such revision.
    refused: AtomicBool,
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
        Ok(Self {
            group: Group::new(source, &live, sessions, tasks, guard)?,
            refused: AtomicBool::new(false),
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

    async fn hello(&self) -> Result<Arc<Hello>, Fault> {
        // Relaxed: who sees it late asks again.
        if self.refused.load(Ordering::Relaxed) {
            return Err(only_older());
        }
        let hello = self.group.hello().await?;
        if hello.is_modern {
            return Ok(hello);
        }
        self.refused.store(true, Ordering::Relaxed);
        // A child with a handshake has a state, which clients must not share unasked.
        self.group.dismiss_all();
        Err(only_older())
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

    /// What the children that serve requests without a session say of themselves; `None` where nobody
    /// asks them.
    ///
    /// # Errors
    ///
    /// The fault to answer with: no child came up, or the server speaks older revisions only.
    pub async fn modern_hello(&self) -> Result<Option<Arc<Hello>>, Fault> {
        match (&self.way, &self.beside) {
            (Way::Shared(group), _) => group.hello().await.map(Some),
            (Way::Exclusive(children), _) => children.hello().await.map(Some),
            (Way::Session(_), Some(beside)) => beside.hello().await.map(Some),
            (Way::Session(_), None) => Err(only_older()),
            (Way::Oneshot(_), _) => Ok(None),
        }
    }
}
