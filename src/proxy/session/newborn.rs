//! Children that nobody has spoken to yet: whether they live.
//!
//! Promise: one that dies soon after its start, before anybody used it, is a start that failed. After such a one the
//! next counts as started when it outlived it, so that the pool pauses between those that die; who waits has it at once.
//! Cost: an allocation a child, and for each that dies a look at those that are idle.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::pace::Pace;
use crate::BoxError;
use crate::proxy::live::Live;
use crate::proxy::peer::{Heard, LastStart, Peer, PeerSource, Strays};
use crate::proxy::wire::Envelope;
use crate::sync::{Arc, AtomicU32, Mutex, OnceLock, Ordering};
use crate::transport::{Death, LineSink};

/// What a child has to live longer than the one that died.
const MARGIN: Duration = Duration::from_millis(100);

/// What is known of the children of one pool.
pub struct Newborns {
    last_start: Arc<LastStart>,
    options: Live,
    strays: Arc<Strays>,
    /// How long the last one lived that died, until one lived longer.
    lived: Mutex<Option<Duration>>,
    /// How often the idle ones are still to be looked at.
    looks: AtomicU32,
}

/// One child that nobody has spoken to yet.
struct Newborn {
    all: Arc<Newborns>,
    pid: u32,
    heard: Heard,
    born: Instant,
    why: OnceLock<String>,
    died: Notify,
}

impl Newborns {
    /// Nothing is known.
    pub fn new(last_start: &Arc<LastStart>, options: &Live, strays: &Arc<Strays>) -> Arc<Self> {
        Arc::new(Self {
            last_start: last_start.clone(),
            options: options.clone(),
            strays: strays.clone(),
            lived: Mutex::default(),
            looks: AtomicU32::new(0),
        })
    }

    /// Starts one.
    ///
    /// # Errors
    ///
    /// Why it cannot be started, or died sooner than it was taken to live.
    pub async fn start(
        self: &Arc<Self>,
        source: &PeerSource,
        pace: &Pace,
    ) -> Result<Peer, BoxError> {
        let (peer, newborn) = self.last_start.of(self.bear(source, pace)).await?;
        // After the good news, which may have come over the bad.
        let died = newborn.and_then(|newborn| newborn.died_of());
        match died {
            None => Ok(peer),
            Some(why) => {
                self.last_start.fail(why.clone());
                Err(why.into())
            }
        }
    }

    async fn bear(
        self: &Arc<Self>,
        source: &PeerSource,
        pace: &Pace,
    ) -> Result<(Peer, Option<Arc<Newborn>>), BoxError> {
        let peer = source.open().await?;
        let Peer::Child(child) = &peer else {
            return Ok((peer, None));
        };
        let newborn = Arc::new(Newborn {
            all: self.clone(),
            pid: child.pid(),
            heard: Heard::counting(&self.strays),
            born: Instant::now(),
            why: OnceLock::new(),
            died: Notify::new(),
        });
        child.attach(newborn.clone());
        let lived = *self.lived.lock();
        if let Some(lived) = lived {
            tokio::select! {
                biased;
                () = newborn.died.notified() => {
                    return Err(newborn.died_of().unwrap_or_default().into());
                }
                () = pace.somebody_waits() => {}
                () = sleep((2 * lived + MARGIN).min(self.long_enough())) => {
                    *self.lived.lock() = None;
                }
            }
        }
        Ok((peer, Some(newborn)))
    }

    /// Whether the idle ones are to be looked at: one of them died.
    pub fn is_look_due(&self) -> bool {
        let one_less = |looks: u32| looks.checked_sub(1);
        // Relaxed: a count on its own, for a sweep that looks again soon.
        let taken = self
            .looks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        taken.is_ok()
    }

    /// How long one has lived whose start did not fail, and no longer than a start can wait for that.
    fn long_enough(&self) -> Duration {
        self.options.get().connect_timeout / 2
    }
}

impl Newborn {
    fn died_of(&self) -> Option<String> {
        self.why.get().cloned()
    }
}

impl LineSink for Newborn {
    /// Nobody asked.
    fn on_line(&self, line: Bytes) {
        tracing::debug!(
            pid = self.pid,
            bytes = line.len(),
            "a line of a child was not asked for"
        );
        let drop_line = |_, _: &Envelope<'_>| self.heard.drop_line();
        self.heard.line(line, &drop_line, &|_, _| {});
    }

    fn on_death(&self, death: &Death) {
        if matches!(death, Death::Retired | Death::Unattended) {
            return; // the proxy's own doing
        }
        let (all, lived) = (&self.all, self.born.elapsed());
        let text = format!(
            "a server process died {} ms after its start, before anybody used it: {death}; the log has its standard error; run its command by hand",
            lived.as_millis()
        );
        // Its end is in the log already, and so is the start that fails after it.
        tracing::debug!(pid = self.pid, "{text}");
        // In this order: see `start`.
        let _ = self.why.set(text.clone()); // it dies once
        if lived < all.long_enough() {
            *all.lived.lock() = Some(lived);
            all.last_start.fail(text);
        }
        // Relaxed: see `is_look_due`. Twice: at the first look it may be on its way to the idle ones.
        all.looks.store(2, Ordering::Relaxed);
        self.died.notify_one();
    }
}
