//! The state of a child: one word.
//!
//! Promise: the first reason of death is kept, and a word that is not zero is never healthy.
//! Cost: one load to ask; a compare-exchange, at most a handful of times in a child's life, to change.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::death::Death;
use crate::sync::{AtomicU64, Ordering};

/// | bits   | name    | meaning                                          | changes       |
/// |--------|---------|--------------------------------------------------|---------------|
/// | 0..8   | reason  | why it is dead; 0: it is not                     | once          |
/// | 8      | BUSY    | a request is between its first byte and its answer's last | both ways |
/// | 9      | EXITED  | the process ended; bits 32..64 say how           | once          |
/// | 10     | GONE    | reaped, its group killed: nothing is left of it  | once          |
/// | 32..64 | status  | the wait status, once EXITED                     | once          |
///
/// EXITED and GONE come with a reason, so zero alone means healthy.
#[derive(Debug, Default)]
pub(super) struct State(AtomicU64);

const REASON: u64 = 0xff;
const BUSY: u64 = 1 << 8;
const EXITED: u64 = 1 << 9;
const GONE: u64 = 1 << 10;
const STATUS_SHIFT: u32 = 32;

const STDOUT_CLOSED: u64 = 1;
const ENDED: u64 = 2;
const WRITE_FAILED: u64 = 3;
const BROKEN_FRAMING: u64 = 4;
const INTERRUPTED: u64 = 5;
const UNATTENDED: u64 = 6;
const SERVED: u64 = 7;
const RETIRED: u64 = 8;
const REAPED_ELSEWHERE: u64 = 9;

impl State {
    /// Whether it may serve: alive and not in the middle of a request.
    #[inline]
    pub(super) fn is_healthy(&self) -> bool {
        self.load() == 0
    }

    pub(super) fn death(&self) -> Option<Death> {
        death_in(self.load())
    }

    pub(super) fn is_dead(&self) -> bool {
        self.load() & REASON != 0
    }

    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        let word = self.load();
        (word & EXITED != 0).then(|| status_in(word))
    }

    pub(super) fn is_gone(&self) -> bool {
        self.load() & GONE != 0
    }

    /// Keeps `death` if it is the first; says whether it is.
    pub(super) fn die(&self, death: Death) -> bool {
        self.change(|word| dead(word, death))
    }

    /// Keeps how the process ended, also as the reason if there is none; says whether it is.
    pub(super) fn exit(&self, status: ExitStatus) -> bool {
        self.change(|word| exited(word, status))
    }

    pub(super) fn set_gone(&self) {
        self.change(|word| word | GONE);
    }

    /// Starts a request, or says why it cannot.
    pub(super) fn begin(&self) -> Result<(), Death> {
        self.change(|word| {
            if word & REASON == 0 {
                word | BUSY
            } else {
                word
            }
        });
        self.death().map_or(Ok(()), Err)
    }

    /// Ends a request that got its answer.
    pub(super) fn finish(&self) {
        self.change(|word| word & !BUSY);
    }

    /// Applies `to`; says whether that made a living child dead.
    fn change(&self, to: impl Fn(u64) -> u64) -> bool {
        // AcqRel: pairs with the Acquire in `load`; who sees a reason sees what led to it.
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(to(word)));
        let before = before.unwrap_or_else(|word| word); // the closure never declines
        before & REASON == 0 && to(before) & REASON != 0
    }

    #[inline]
    fn load(&self) -> u64 {
        // Acquire: pairs with the AcqRel in `change`.
        self.0.load(Ordering::Acquire)
    }
}

/// The word of a child that dies of `death`; unchanged if it is dead already.
fn dead(word: u64, death: Death) -> u64 {
    if word & REASON != 0 {
        return word;
    }
    match death {
        Death::Exited(status) => exited(word, status),
        Death::StdoutClosed => word | STDOUT_CLOSED,
        Death::WriteFailed => word | WRITE_FAILED,
        Death::BrokenFraming => word | BROKEN_FRAMING,
        Death::Interrupted => word | INTERRUPTED,
        Death::Unattended => word | UNATTENDED,
        Death::Served => word | SERVED,
        Death::Retired => word | RETIRED,
        Death::ReapedElsewhere => word | REAPED_ELSEWHERE,
    }
}

fn exited(word: u64, status: ExitStatus) -> u64 {
    if word & EXITED != 0 {
        return word;
    }
    let status = u64::from(status.into_raw().cast_unsigned());
    let reason = if word & REASON == 0 { ENDED } else { 0 };
    word | EXITED | reason | status << STATUS_SHIFT
}

fn death_in(word: u64) -> Option<Death> {
    Some(match word & REASON {
        0 => return None,
        STDOUT_CLOSED => Death::StdoutClosed,
        ENDED => Death::Exited(status_in(word)),
        WRITE_FAILED => Death::WriteFailed,
        BROKEN_FRAMING => Death::BrokenFraming,
        INTERRUPTED => Death::Interrupted,
        SERVED => Death::Served,
        RETIRED => Death::Retired,
        REAPED_ELSEWHERE => Death::ReapedElsewhere,
        _ => Death::Unattended,
    })
}

fn status_in(word: u64) -> ExitStatus {
    // The upper half of the word, which is what `exited` put there.
    ExitStatus::from_raw(((word >> STATUS_SHIFT) as u32).cast_signed())
}
