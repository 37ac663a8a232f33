//! The roster: which descriptors are watched, and for whom.
//!
//! A descriptor's number is used again as soon as it is closed, and events come late. So each watch
//! has a serial number of its own, which travels with its events.
//!
//! Promise: an event finds the watch that it was meant for or none; ending an old watch leaves a new
//! one of the same number alone; after `remove` the kernel is not asked about the number any more.
//! Cost: a lock, and where the kernel knows the descriptor a system call, never on a hit.

use std::collections::HashMap;

/// What the kernel does. Called under the lock of the roster.
pub(super) trait Ears {
    /// Reports events of a descriptor with this mark from now on, those that are due included,
    /// whether or not it was known before. `false`: it cannot.
    fn listen(&mut self, fd: i32, mark: Mark) -> bool;
    fn forget(&mut self, fd: i32);
}

/// One watch: the descriptor's number, and the serial number of the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) fd: i32,
    pub(super) serial: u32,
}

#[derive(Debug)]
struct Watch<A> {
    serial: u32,
    /// The kernel reports events, maybe under an older mark.
    known: bool,
    alarm: A,
}

#[derive(Debug)]
pub(super) struct Roster<A> {
    watches: HashMap<i32, Watch<A>>,
    /// Watches that the kernel is to be told of.
    pending: Vec<Mark>,
    serial: u32,
}

impl<A: Clone> Roster<A> {
    pub(super) fn new() -> Self {
        Self {
            watches: HashMap::new(),
            pending: Vec::new(),
            serial: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Adds a watch, or makes a new one of it. Returns the alarm of the old one, to be dropped without
    /// the lock, and whether nobody has been called for what is pending.
    pub(super) fn add(&mut self, fd: i32, alarm: A) -> (Mark, Option<A>, bool) {
        // Never 0, so that a key is not.
        self.serial = self.serial.wrapping_add(1).max(1);
        let mark = Mark {
            fd,
            serial: self.serial,
        };
        let old = self.watches.remove(&fd);
        let watch = Watch {
            serial: self.serial,
            known: old.as_ref().is_some_and(|old| old.known),
            alarm,
        };
        self.watches.insert(fd, watch);
        self.pending.push(mark);
        (mark, old.map(|old| old.alarm), self.pending.len() == 1)
    }

    /// Tells the kernel of some that are pending. Returns the alarms of those that it cannot watch.
    pub(super) fn introduce(&mut self, most: usize, ears: &mut impl Ears) -> Vec<A> {
        let mut refused = Vec::new();
        for _ in 0..most {
            let Some(mark) = self.pending.pop() else {
                break;
            };
            let Some(watch) = self.watches.get_mut(&mark.fd) else {
                continue;
            };
            if watch.serial != mark.serial {
                continue;
            }
            watch.known = ears.listen(mark.fd, mark);
            if !watch.known {
                refused.extend(self.watches.remove(&mark.fd).map(|watch| watch.alarm));
            }
        }
        refused
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The alarm that an event is for.
    pub(super) fn find(&self, mark: Mark) -> Option<A> {
        let watch = self.watches.get(&mark.fd)?;
        (watch.serial == mark.serial).then(|| watch.alarm.clone())
    }

    /// Ends a watch, unless it was ended or a new one took its place.
    pub(super) fn remove(&mut self, mark: Mark, ears: &mut impl Ears) -> Option<A> {
        let watch = self.watches.get(&mark.fd)?;
        if watch.serial != mark.serial {
            return None;
        }
        if watch.known {
            ears.forget(mark.fd);
        }
        let alarm = self.watches.remove(&mark.fd).map(|watch| watch.alarm);
        if self.watches.is_empty() {
            // What is pending is of watches that ended.
            self.pending.clear();
        }
        alarm
    }
}
