//! A small number for each thread, given back when the thread ends.
//!
//! Promise: two live threads never have the same index; the lowest free one is given first. In a forked
//! child, the thread that forked keeps its index and all others are free.
//! Cost: one thread-local load; a lock the first time a thread asks.

use std::cell::Cell;

use super::process::PerProcess;
use super::real::{AtomicUsize, Mutex, Ordering};

const UNASSIGNED: usize = usize::MAX;
const GONE: usize = usize::MAX - 1;

thread_local! {
    // No destructor: stays readable during the teardown of its thread, and costs one load.
    static INDEX: Cell<usize> = const { Cell::new(UNASSIGNED) };
    static OWNED: Owned = const { Owned };
}

/// One bit for each index in use.
static IN_USE: PerProcess<Mutex<Vec<u64>>> = PerProcess::new(|| Mutex::new(inherited()));

/// The index of the thread that this process began with, where it is a forked child.
static SURVIVOR: AtomicUsize = AtomicUsize::new(UNASSIGNED);

/// Keeps the index of the thread that forked, which is the only one of the child. Called there.
#[cfg(unix)]
pub(super) fn survive() {
    // Relaxed: no other thread is there yet.
    SURVIVOR.store(INDEX.get(), Ordering::Relaxed);
}

/// The indices in use when the process began.
fn inherited() -> Vec<u64> {
    let mut words = Vec::new();
    // Relaxed: written before there was a second thread.
    let survivor = SURVIVOR.load(Ordering::Relaxed);
    if survivor < GONE {
        words.resize(survivor / 64 + 1, 0);
        words[survivor / 64] |= 1 << (survivor % 64);
    }
    words
}

/// The index of this thread, or `None` while the thread is being torn down.
#[inline]
pub(crate) fn thread_index() -> Option<usize> {
    let index = INDEX.get();
    if index < GONE {
        Some(index)
    } else {
        assign_slow(index)
    }
}

/// The index of this thread, if it asked for one before. A load, and no call.
#[inline(always)]
pub(crate) fn known_thread_index() -> Option<usize> {
    let index = INDEX.get();
    (index < GONE).then_some(index)
}

#[cold]
#[inline(never)]
fn assign_slow(index: usize) -> Option<usize> {
    // The first touch of `OWNED` registers its destructor, which gives the index back.
    if index == GONE || OWNED.try_with(|_| ()).is_err() {
        return None;
    }
    let index = lowest_free(&mut IN_USE.get().lock());
    INDEX.set(index);
    Some(index)
}

fn lowest_free(words: &mut Vec<u64>) -> usize {
    let word = match words.iter().position(|word| *word != u64::MAX) {
        Some(word) => word,
        None => {
            words.push(0);
            words.len() - 1
        }
    };
    let bit = words[word].trailing_ones() as usize;
    words[word] |= 1 << bit;
    word * 64 + bit
}

struct Owned;

impl Drop for Owned {
    fn drop(&mut self) {
        let index = INDEX.replace(GONE);
        if index < GONE {
            IN_USE.get().lock()[index / 64] &= !(1 << (index % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_index_comes_first() {
        let mut words = vec![0b1011];
        assert_eq!(lowest_free(&mut words), 2);
        assert_eq!(lowest_free(&mut words), 4);
        words[0] = u64::MAX;
        assert_eq!(lowest_free(&mut words), 64);
    }

    #[test]
    fn an_index_is_stable_and_its_own() {
        let here = thread_index();
        assert_eq!(here, thread_index());
        let there = std::thread::spawn(thread_index).join().unwrap_or_default();
        assert!(there.is_some());
        assert_ne!(here, there);
    }
}
