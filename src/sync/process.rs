//! Which process this is, and what each process has of its own although a fork copied it.
//!
//! In a forked child the statics of the parent are as some thread left them that is not there: a lock
//! may be held for ever, a thread be said to run that does not, a descriptor be the parent's, too.
//!
//! Promise: what is [`PerProcess`] is made anew in a forked child, and that of the parent is neither
//! locked nor dropped there, provided that the handler of the fork calls [`begin_child`] or the number of
//! the process is asked for.
//! Cost: a reference counted up and down more than a static, and a system call where the number is asked
//! for; nothing is allocated while a process forks.

use std::mem;
use std::ops::Deref;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;

/// How many forks lie between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// From now on this is another process. Called on its only thread: a store.
#[cfg(unix)]
pub(crate) fn begin_child() {
    super::thread_index::survive();
    // Relaxed: no other thread is there yet, and those to come are made after it.
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How many forks lie between the first process and this one.
#[cfg(unix)]
pub(crate) fn forks() -> u32 {
    // Relaxed: as in `begin_child`.
    FORKS.load(Ordering::Relaxed)
}

/// A static that each process has its own of.
pub(crate) struct PerProcess<T> {
    place: ArcSwapOption<Owned<T>>,
    make: fn() -> T,
}

/// What a process has. Lives as long as the process.
pub(crate) struct Owned<T> {
    forks: u32,
    #[cfg_attr(not(feature = "subprocess"), allow(dead_code))]
    process: u32,
    value: T,
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PerProcess<T> {
    pub(crate) const fn new(make: fn() -> T) -> Self {
        Self {
            place: ArcSwapOption::const_empty(),
            make,
        }
    }

    /// That of this process, whose forks are seen.
    pub(crate) fn get(&self) -> Arc<Owned<T>> {
        self.get_if(|_| true)
    }

    /// That of this process, also where its forks are not seen: no pool was built, which would have
    /// asked to be told of them.
    #[cfg(feature = "subprocess")]
    pub(crate) fn get_by_number(&self) -> Arc<Owned<T>> {
        let this_process = process::id();
        self.get_if(|owned| owned.process == this_process)
    }

    fn get_if(&self, is_ours: impl Fn(&Owned<T>) -> bool) -> Arc<Owned<T>> {
        loop {
            let found = self.place.load_full();
            // Relaxed: as in `begin_child`.
            let forks = FORKS.load(Ordering::Relaxed);
            if let Some(owned) = found
                .as_ref()
                .filter(|owned| owned.forks == forks && is_ours(owned))
            {
                return Arc::clone(owned);
            }
            let value = (self.make)();
            let process = process::id();
            let fresh = Some(Arc::new(Owned {
                forks,
                process,
                value,
            }));
            // Whoever comes second takes what the first one made.
            drop(self.place.compare_and_swap(&found, fresh));
            // The parent's is as its threads left it, so it is not dropped.
            mem::forget(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn all_threads_of_a_process_have_the_same() {
        static NUMBERS: PerProcess<AtomicU32> = PerProcess::new(|| AtomicU32::new(0));
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    NUMBERS.get().fetch_add(1, Ordering::Relaxed)
                });
            }
        });
        assert_eq!(NUMBERS.get().load(Ordering::Relaxed), 4);
    }
}
