//! Plant: a regression put beside the pool on purpose, to see that the guard sees it.
//!
//! Promise: each does one thing that a careless change would do to the hit path; `Nothing` compiles
//! to nothing.
//! Cost: what it plants.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use clap::ValueEnum;

use crate::harness::{Build, Subject};
use crate::subjects::Ours;

/// The kinds of regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// None.
    Nothing,
    /// One allocation a cycle.
    Allocation,
    /// Some five percent more instructions a cycle.
    Instructions,
    /// A mutex around nothing, once a cycle.
    Lock,
    /// One more look at the clock a cycle.
    Clock,
    /// The case dies in its first cycle.
    Crash,
    /// One batch of ten takes longer: the median is as it was, p95 is a fifth up.
    Tail,
}

impl Plant {
    /// What a cycle suffers.
    #[inline(always)]
    pub fn act(self) {
        match self {
            Self::Nothing => {}
            Self::Allocation => drop(black_box(Box::new(1_u64))),
            Self::Instructions => {
                black_box(1_u32);
                black_box(2_u32);
                black_box(3_u32);
            }
            Self::Lock => drop(black_box(LOCK.lock())),
            Self::Clock => {
                black_box(Instant::now());
            }
            Self::Crash => std::process::abort(),
            // Once a batch, not once a cycle.
            Self::Tail => {}
        }
    }
}

static LOCK: Mutex<()> = Mutex::new(());

thread_local! {
    static BATCHES: Cell<u32> = const { Cell::new(0) };
}

/// Turns that take about a fifth of a batch's time.
const FIFTH: u32 = 950;

/// At the end of a batch: one in ten lasts longer.
fn tail() {
    let batch = BATCHES.get();
    BATCHES.set(batch.wrapping_add(1));
    if batch.is_multiple_of(10) {
        spin(FIFTH);
    }
}

/// Three instructions a turn, and about a nanosecond for three turns.
#[inline(never)]
fn spin(turns: u32) {
    for turn in 0..turns {
        black_box(turn);
    }
}

/// Ours with a plant in each cycle.
#[derive(Clone)]
pub struct Planted<const KIND: u8>(Ours);

/// The plant of a number, for a type's parameter.
const fn plant(kind: u8) -> Plant {
    match kind {
        1 => Plant::Lock,
        2 => Plant::Clock,
        3 => Plant::Tail,
        _ => Plant::Nothing,
    }
}

impl<const KIND: u8> Subject for Planted<KIND> {
    const NAME: &'static str = "plunge, planted";
    type Guard<'a> = <Ours as Subject>::Guard<'a>;

    async fn acquire(&self) -> Self::Guard<'_> {
        plant(KIND).act();
        self.0.acquire().await
    }

    /// The loop of `Ours`, so that nothing but the plant is different.
    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            plant(KIND).act();
            let connection = self.0.0.acquire().await;
            black_box(&connection.expect("no case exhausts the pool for two seconds"));
        }
        if plant(KIND) == Plant::Tail {
            tail();
        }
    }

    fn opened(&self) -> usize {
        self.0.opened()
    }
}

impl<const KIND: u8> Build for Planted<KIND> {
    fn build(size: usize) -> Self {
        Self(Ours::build(size))
    }
}
