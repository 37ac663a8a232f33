//! The way to the children of one upstream, from their start to their end.

use crate::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::look::Look;
use super::modern::Beside;
use crate::proxy::guard::{Guard, Recycled};
use crate::proxy::leased::{Exclusive, Oneshot};
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions, Upstream};
use crate::proxy::peer::PeerSource;
use crate::proxy::session::{Extent, Nursery, SessionTable};
use crate::proxy::shared::{Group, Wanted};
use crate::proxy::tasks::Tasks;
use crate::proxy::wire::Fault;
use crate::{BoxError, CloseReport, OptionsError, PoolStats};

/// The way to the children of one upstream.
pub struct Backend {
    /// How they are shared.
    pub way: Way,
    /// What keeps calls from an upstream that fails.
    pub guard: Arc<Guard>,
    /// Beside children that belong to sessions: those for requests without one.
    pub(super) beside: Option<Beside>,
    /// Where no session is there to be asked.
    pub look: Option<Arc<Look>>,
    pub(super) options: Live,
    /// Where the children come from.
    pub source: PeerSource,
}

/// How children are shared.
pub enum Way {
    /// A child a session.
    Session(Nursery),
    /// A handshaken child a request.
    Exclusive(Exclusive),
    /// Few children for everybody.
    Shared(Arc<Group>),
    /// A child a request, which exits after it.
    Oneshot(Oneshot),
}

impl Backend {
    /// The backend of a mode, without children.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(live: &Live, sessions: &Arc<SessionTable>, tasks: &Tasks) -> Result<Self, BoxError> {
        let options = &*live.whole();
        let is_one_server = matches!(options.upstream, Upstream::Http(_));
        let guard = Guard::new(options.breaker(), is_one_server);
        let source = PeerSource::new(options, &sessions.tools, &guard)?;
        let way = match options.mode {
            Mode::Session => Way::Session(Nursery::new(&source, live, &sessions.strays)?),
            Mode::Exclusive => Way::Exclusive(Exclusive::new(&source, live, sessions, &guard)?),
            Mode::Oneshot => Way::Oneshot(Oneshot::new(&source, live, &sessions.strays)?),
            Mode::Shared | Mode::Stateless => {
                let wanted = match options.mode {
                    Mode::Stateless => Wanted::Any,
                    _ => Wanted::Legacy,
                };
                let group = Group::new(&source, live, sessions, tasks, &guard, wanted)?;
                Way::Shared(group)
            }
        };
        let beside = match way {
            Way::Session(_) => Some(Beside::new(&source, live, sessions, tasks, &guard)?),
            _ => None,
        };
        let look = match (&way, &source) {
            (Way::Session(_) | Way::Exclusive(_), PeerSource::Http(source)) => {
                Some(Look::new(source))
            }
            _ => None,
        };
        Ok(Self {
            way,
            guard,
            beside,
            look,
            options: live.clone(),
            source,
        })
    }

    /// Changes limits and times; what is under way keeps those that it began with.
    ///
    /// # Errors
    ///
    /// A limit above what was set aside for it.
    pub fn tune(&self, options: &ServeOptions) -> Result<(), OptionsError> {
        match &self.way {
            Way::Session(nursery) => nursery.tune(options)?,
            Way::Exclusive(children) => children.tune(options)?,
            Way::Oneshot(children) => children.nursery().tune(options)?,
            Way::Shared(group) => group.tune(options)?,
        }
        if let Some(beside) = &self.beside {
            beside.tune(options)?;
        }
        self.guard.tune(options.breaker());
        self.options.set(options.clone());
        Ok(())
    }

    /// Starts the first child. An upstream over HTTP may come up later.
    ///
    /// # Errors
    ///
    /// Why it cannot be started.
    pub async fn warm(&self) -> Result<(), Fault> {
        let warmed = self.warm_way().await;
        if let (Err(fault), PeerSource::Http(_)) = (&warmed, &self.source) {
            // It is a server of its own, which may come up later.
            tracing::warn!(
                "the upstream does not answer yet: {}; start it or correct its URL, requests are refused until then",
                fault.message
            );
            return Ok(());
        }
        warmed
    }

    async fn warm_way(&self) -> Result<(), Fault> {
        match &self.way {
            Way::Session(nursery) => nursery.warm().await,
            Way::Shared(group) => group.warm().await,
            Way::Exclusive(children) => children.warm().await,
            Way::Oneshot(children) => children.nursery().warm().await,
        }
    }

    /// Whether a request would be served, or why not.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn ready(&self) -> Result<(), String> {
        if self.guard.is_open() {
            return Err(String::from("the server failed too often lately"));
        }
        if let Some(look) = &self.look {
            look.ready()?;
        }
        match &self.way {
            Way::Session(nursery) => nursery.ready(),
            Way::Exclusive(children) => children.ready(),
            Way::Oneshot(children) => children.nursery().can_start(),
            Way::Shared(group) if group.is_ready() => Ok(()),
            Way::Shared(group) => Err(group.last_failure().map_or_else(
                || String::from("no server process is running"),
                |fault| fault.message,
            )),
        }
    }

    /// The figures of the pool.
    pub fn pool_stats(&self) -> PoolStats {
        match &self.way {
            Way::Session(nursery) => nursery.pool_stats(),
            Way::Shared(group) => group.pool_stats(),
            Way::Exclusive(children) => children.pool_stats(),
            Way::Oneshot(children) => children.pool_stats(),
        }
    }

    /// How many children were replaced though they worked, by reason.
    pub fn recycled(&self) -> [(Recycled, u64); 2] {
        let outlived = self.pool_stats().outlived;
        self.guard.recycled().map(|(reason, count)| match reason {
            Recycled::Uses => (reason, count),
            Recycled::Lifetime => (reason, count + outlived),
        })
    }

    /// How much sessions are subscribed to on shared children; `None`: what they subscribe to is not this proxy's.
    pub fn extent(&self) -> Option<Extent> {
        match &self.way {
            Way::Shared(group) => group.extent(),
            Way::Session(_) | Way::Exclusive(_) | Way::Oneshot(_) => None,
        }
    }

    /// Subscriptions of clients without sessions that are open on children.
    pub fn listening(&self) -> usize {
        let group = match (&self.way, &self.beside) {
            (Way::Shared(group), _) => Some(group),
            (_, Some(beside)) => Some(&beside.group),
            _ => None,
        };
        let children = group.map(|group| group.children()).unwrap_or_default();
        children.iter().map(|child| child.listening()).sum()
    }

    /// Ends overdue requests, gives up children that are dead or hang.
    pub fn sweep(&self, sessions: &SessionTable, now: Instant) {
        self.guard.tell();
        sessions.tell_missed(now);
        if let Some(beside) = &self.beside {
            beside.group.sweep(now);
        }
        match &self.way {
            Way::Session(nursery) => {
                nursery.sweep();
                for _ in 0..sessions.expire(now) {
                    self.guard.count_ejected();
                }
            }
            Way::Exclusive(children) => children.sweep(now),
            Way::Oneshot(children) => children.sweep(now),
            Way::Shared(group) => group.sweep(now),
        }
    }

    /// Starts children in the background where fewer are ready than should be.
    pub fn fill(&self) {
        match &self.way {
            Way::Session(_) | Way::Exclusive(_) | Way::Oneshot(_) => {} // the pool does
            Way::Shared(group) => group.fill(),
        }
    }

    /// Takes no more requests.
    pub fn abandon(&self) {
        if let Some(beside) = &self.beside {
            beside.group.abandon();
        }
        match &self.way {
            Way::Session(_) => {}
            Way::Exclusive(children) => children.abandon(),
            Way::Oneshot(children) => children.abandon(),
            Way::Shared(group) => group.abandon(),
        }
    }

    /// Ends every child that sessions do not own, and closes the pool.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        let begun = Instant::now();
        let report = self.close_way(deadline).await;
        let left = deadline.saturating_sub(begun.elapsed());
        self.source.close(left).await;
        report
    }

    async fn close_way(&self, deadline: Duration) -> CloseReport {
        match &self.way {
            Way::Session(nursery) => {
                let (report, _) = tokio::join!(nursery.close(deadline), async {
                    if let Some(beside) = &self.beside {
                        beside.group.close(deadline).await;
                    }
                });
                report
            }
            Way::Exclusive(children) => children.close(deadline).await,
            Way::Oneshot(children) => children.close(deadline).await,
            Way::Shared(group) => group.close(deadline).await,
        }
    }
}
