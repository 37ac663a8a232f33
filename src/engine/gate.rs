//! The gate: one word that says whether anybody needs anything.
//!
//! Promise: while it is zero, a caller may take from the idle set and return to it without
//! looking at anything else. Cost: one load to acquire, two to release.

use crate::sync::{AtomicU32, Canary, Ordering};

/// A snapshot of the gate.
///
/// | bit   | flag      | set by                      | means                                      |
/// |-------|-----------|-----------------------------|--------------------------------------------|
/// | 0     | closed    | close, last handle dropped  | nothing is handed out, returns are retired |
/// | 1     | suspended | suspend                     | nothing is handed out, returns are kept    |
/// | 2     | inspect   | a lowered limit             | more are open than may be: retire returns  |
/// | 3     | strict    | an overdue head of the line | nobody may overtake                        |
/// | 4     | keyed     | the build                   | others may miss a permit: ask the commons  |
/// | 5     | forked    | a fork, in the child        | the pool is the parent's                   |
/// | 6     | line      | a waiter, under the mutex   | somebody is in line                        |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateWord(u32);

impl GateWord {
    pub(crate) const CLOSED: Self = Self(1);
    pub(crate) const SUSPENDED: Self = Self(1 << 1);
    pub(crate) const INSPECT: Self = Self(1 << 2);
    pub(crate) const STRICT: Self = Self(1 << 3);
    pub(crate) const KEYED: Self = Self(1 << 4);
    pub(crate) const FORKED: Self = Self(1 << 5);
    pub(crate) const LINE: Self = Self(1 << 6);

    /// Whether a caller may take what is idle, and a release keep it.
    #[inline(always)]
    pub(crate) const fn is_quiet(self) -> bool {
        self.0 & !Self::KEYED.0 == 0
    }

    /// Whether nobody can need what was just published, in this pool or in another.
    #[inline(always)]
    pub(crate) const fn is_silent(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// Whether somebody waits, and may be served.
    pub(crate) const fn is_served(self) -> bool {
        self.has(Self::LINE) && !self.has(Self::SUSPENDED)
    }

    /// Whether nothing is the matter but that somebody waits, if that.
    pub(crate) const fn has_only_waiters(self) -> bool {
        self.0 & (Self::CLOSED.0 | Self::SUSPENDED.0 | Self::INSPECT.0) == 0
    }
}

#[derive(Debug)]
pub(super) struct Gate {
    word: AtomicU32,
    canary: Canary,
}

impl Gate {
    pub(super) fn new(keyed: bool) -> Self {
        Self {
            word: AtomicU32::new(if keyed { GateWord::KEYED.0 } else { 0 }),
            canary: Canary::new(),
        }
    }

    /// Before taking, and before putting: a hint, for whoever misses a change is seen to after.
    #[inline(always)]
    pub(super) fn peek(&self) -> GateWord {
        self.canary.used();
        // Acquire: pairs with the SeqCst changes below; who sees `closed` also sees the limit
        // that was closed with it.
        GateWord(self.word.load(Ordering::Acquire))
    }

    /// After a publication that ended in a fence: sees every waiter that did not see it.
    #[inline(always)]
    pub(super) fn after_publish(&self) -> GateWord {
        self.canary.used();
        // SeqCst: ordered against `raise`; the other variable is the place that was published to
        // (a hot slot, the queue, the stack, the capacity word). One side sees the other.
        GateWord(self.word.load(Ordering::SeqCst))
    }

    /// The line is not empty any more. Whoever is in it fences and looks at what it waits for again.
    pub(super) fn raise(&self) {
        // SeqCst: ordered before the waiter's second look; pairs with `after_publish`. Who comes
        // when it is raised already has seen it so under the line's mutex, which orders it as well.
        self.word.fetch_or(GateWord::LINE.0, Ordering::SeqCst);
    }

    /// The line is empty.
    pub(super) fn lower(&self) {
        // Release: whoever sees the line empty sees why (Acquire in `peek`).
        self.word.fetch_and(!GateWord::LINE.0, Ordering::Release);
    }

    /// Sets a flag; tells what was there before.
    pub(super) fn set(&self, flag: GateWord) -> GateWord {
        // SeqCst: ordered before the setter's look at the idle set; pairs with `after_publish`.
        GateWord(self.word.fetch_or(flag.0, Ordering::SeqCst))
    }

    pub(super) fn clear(&self, flag: GateWord) -> GateWord {
        // SeqCst: a resume is a put, ordered before its look at the line.
        GateWord(self.word.fetch_and(!flag.0, Ordering::SeqCst))
    }

    pub(super) fn dropped(&self) {
        self.canary.dropped();
    }
}

#[cfg(all(test, not(plunge_loom)))]
mod tests {
    use super::*;

    #[test]
    fn flags_and_line_do_not_touch_each_other() {
        let gate = Gate::new(false);
        assert!(gate.peek().is_quiet());
        gate.raise();
        gate.set(GateWord::STRICT);
        assert!(gate.peek().has(GateWord::LINE));
        gate.lower();
        assert!(!gate.peek().has(GateWord::LINE));
        assert!(gate.peek().has(GateWord::STRICT) && !gate.peek().has(GateWord::CLOSED));
        gate.clear(GateWord::STRICT);
        assert!(gate.peek().is_quiet());
    }
}
