//! The thread that hears connections die: one for all pools of the process.
//!
//! It starts with the first watch, ends when nothing was watched for a second, and is started again
//! should it end otherwise. It does all registering itself, so that maintenance never waits for the
//! kernel.
//!
//! Promise: alarms are raised without a lock, at most once each. Cost: while nothing happens, none;
//! per watch 60 to 80 bytes here and some more in the kernel (10,000 measured).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::roster::{Ears, Mark, Roster};
use super::stats::{BEGUN, EVENTS, REFUSED, STALE};
use crate::sync::{Mutex, PerProcess};
use crate::{IdleAlarm, IdleBytes};

/// How long the thread stays when nothing is watched.
const LINGER: Duration = Duration::from_secs(1);

/// Registrations made in one go, under the lock.
const BATCH: usize = 32;

/// Events taken in one go.
const EVENTS_AT_ONCE: usize = 256;

/// What is woken for news, not an event of a connection.
const CALL: Token = Token(usize::MAX);

type Alarm = (IdleAlarm, IdleBytes);

/// The watch of the process.
struct Station {
    roster: Roster<Alarm>,
    registry: Registry,
    waker: Waker,
    /// The thread takes it; here while there is none.
    poll: Option<Poll>,
    running: bool,
}

/// A forked child has its own: the kernel's end of the parent's is shared, so that one event would be
/// heard by one of the two.
static STATION: PerProcess<Mutex<Option<Station>>> = PerProcess::new(|| Mutex::new(None));

/// Looks at the watch of this process, under its lock.
fn station<R>(look: impl FnOnce(&mut Option<Station>) -> R) -> R {
    look(&mut STATION.get().lock())
}

/// Begins to watch a socket that stays open until [`unwatch`] has returned.
pub(super) fn watch(socket: BorrowedFd<'_>, bytes: IdleBytes, alarm: IdleAlarm) -> Option<u64> {
    let fd = socket.as_raw_fd();
    token(Mark { fd, serial: 0 })?;
    let (mark, old) = station(|place| {
        let station = match place {
            Some(station) => station,
            empty => empty.insert(Station::open().inspect_err(|_| REFUSED.add(1)).ok()?),
        };
        let (mark, old, call) = station.roster.add(fd, (alarm, bytes));
        if !station.running {
            station.running = start();
        } else if call {
            // It fails where the thread has been called already.
            let _ = station.waker.wake();
        }
        Some((mark, old))
    })?;
    drop(old);
    BEGUN.add(1);
    Some(key(mark))
}

/// Ends a watch. The descriptor may be closed when this returns.
pub(super) fn unwatch(key: u64) {
    let old = station(|place| {
        let station = place.as_mut()?;
        let old = station.roster.remove(mark(key), &mut station.registry);
        if old.is_some() && station.roster.is_empty() {
            // The thread waits without an end: it is to leave after a while.
            let _ = station.waker.wake();
        }
        old
    });
    drop(old);
}

/// How many are watched, and by how many threads.
pub(super) fn census() -> (u64, u64) {
    station(|place| {
        place.as_ref().map_or((0, 0), |station| {
            let watched = u64::try_from(station.roster.len()).unwrap_or(u64::MAX);
            (watched, u64::from(station.running))
        })
    })
}

impl Station {
    fn open() -> io::Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            roster: Roster::new(),
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), CALL)?,
            poll: Some(poll),
            running: false,
        })
    }
}

/// Starts the thread, under the lock, on which it begins; where that fails, the next watch tries again.
fn start() -> bool {
    let thread = thread::Builder::new().name("plunge-watch".into());
    thread.spawn(attend).is_ok()
}

fn attend() {
    let poll = station(|place| place.as_mut()?.poll.take());
    if poll.is_some() {
        Shift { poll }.serve();
    }
}

/// The thread's turn. Dropped in whatever way it ends, it leaves the place to the next.
struct Shift {
    poll: Option<Poll>,
}

impl Shift {
    fn serve(mut self) {
        let mut events = Events::with_capacity(EVENTS_AT_ONCE);
        let mut lingered = false;
        loop {
            introduce();
            let Some(empty) = station(|place| Some(place.as_ref()?.roster.is_empty())) else {
                return;
            };
            if empty && lingered && self.leave() {
                return;
            }
            let Some(poll) = &mut self.poll else { return };
            match poll.poll(&mut events, empty.then_some(LINGER)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Nothing is heard any more: a new watch starts anew.
                Err(_) => return,
            }
            lingered = empty && events.is_empty();
            events
                .iter()
                .filter(|event| event.token() != CALL)
                .for_each(hear);
        }
    }

    /// Ends the turn if nothing is watched.
    fn leave(&mut self) -> bool {
        station(|place| match place {
            Some(station) if station.roster.is_empty() => {
                station.poll = self.poll.take();
                station.running = false;
                true
            }
            _ => false,
        })
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        let Some(poll) = self.poll.take() else { return };
        // It ended before its time. After a panic what is watched does not wait for the next watch;
        // where the kernel refused, it does: it would refuse again, and again.
        station(|place| {
            if let Some(station) = place {
                station.poll = Some(poll);
                station.running = thread::panicking() && start();
            }
        });
    }
}

/// Tells the kernel of what is to be watched, a few at a time.
fn introduce() {
    loop {
        let introduced = station(|place| {
            let station = place.as_mut()?;
            let refused = station.roster.introduce(BATCH, &mut station.registry);
            Some((refused, station.roster.has_pending()))
        });
        let Some((refused, more)) = introduced else {
            return;
        };
        REFUSED.add(refused.len() as u64);
        drop(refused);
        if !more {
            return;
        }
    }
}

/// Makes of an event what it means, without the lock where the pool is called.
fn hear(event: &Event) {
    let mark = mark(event.token().0 as u64);
    let found = station(|place| place.as_ref()?.roster.find(mark));
    // Of a watch that was ended: its connection is retired, or in use, or watched anew.
    let Some((alarm, bytes)) = found else { return };
    EVENTS.add(1);
    let left = event.is_read_closed() || event.is_write_closed() || event.is_error();
    // An alarm may end a pool, and so run a drop of the user's.
    let over = catch_unwind(AssertUnwindSafe(|| is_over(alarm, bytes, left))).unwrap_or(true);
    if over {
        let ended = station(|place| {
            let station = place.as_mut()?;
            station.roster.remove(mark, &mut station.registry)
        });
        drop(ended);
    }
}

/// Raises an alarm if there is reason to. Tells whether there is nothing more to hear.
fn is_over(alarm: IdleAlarm, bytes: IdleBytes, left: bool) -> bool {
    if left {
        alarm.peer_left();
        return true;
    }
    if alarm.is_off() {
        STALE.add(1);
        return true;
    }
    bytes == IdleBytes::Deadly && {
        alarm.peer_spoke();
        true
    }
}

impl Ears for Registry {
    fn listen(&mut self, fd: i32, mark: Mark) -> bool {
        let Some(token) = token(mark) else {
            return false;
        };
        // Known or not is the kernel's to say: a descriptor closed unseen is forgotten there.
        let register = self.register(&mut SourceFd(&fd), token, Interest::READABLE);
        register.is_ok()
            || self
                .reregister(&mut SourceFd(&fd), token, Interest::READABLE)
                .is_ok()
    }

    fn forget(&mut self, fd: i32) {
        // It fails where the descriptor was closed unseen, and so is forgotten.
        let _ = self.deregister(&mut SourceFd(&fd));
    }
}

/// Half of a token for each.
const HALF: u32 = usize::BITS / 2;

/// `None`: a number too high for half a word.
fn token(mark: Mark) -> Option<Token> {
    let fd = usize::try_from(mark.fd).ok()?;
    let serial = mark.serial as usize & ((1 << HALF) - 1);
    (fd >> HALF == 0).then_some(Token(fd | (serial << HALF)))
}

/// A mark as a number that is never 0.
fn key(mark: Mark) -> u64 {
    token(mark).map_or(0, |token| token.0 as u64)
}

fn mark(key: u64) -> Mark {
    Mark {
        fd: i32::try_from(key & ((1 << HALF) - 1)).unwrap_or(-1),
        serial: (key >> HALF) as u32,
    }
}

#[cfg(test)]
#[path = "tests/poller.rs"]
mod tests;
