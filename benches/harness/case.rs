//! Case: how many tasks share how many objects, on how many workers, doing what.
//!
//! Promise: each case says what it isolates.
//! Cost: none.

/// What a task does in a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One task on a current-thread runtime acquires and releases; reported as ns per cycle.
    Solo,
    /// Tasks acquire and release without an await in the hold; enough objects for all.
    Hits,
    /// As `Hits`, holding over one yield; enough objects for all.
    Yields,
    /// As `Hits`, with operating-system threads in the place of tasks.
    Threads,
    /// Tasks hold an object over one yield; more tasks than objects. Waits are measured.
    Saturated,
    /// As `Saturated`, holding for 1.5 ms of tokio's clock.
    Sleeps,
    /// As `Saturated`, every second acquire dropped if it has to wait; nothing may be lost by it.
    Storm,
    /// All tasks at once on an empty pool whose factory takes 2 ms; a cycle is one such burst.
    Spike,
    /// All tasks at once on a pool with five idle objects whose factory takes 150 ms; each holds for 2 ms.
    /// A cycle is one such burst; what it opened is counted.
    Burst,
    /// Arrivals by a schedule of `tasks` a millisecond, whatever happens to those before; a wait is
    /// counted from the time that the schedule says, so that a stall is not omitted.
    Arrivals,
}

impl Shape {
    /// Whether the case measures how long an acquire takes.
    pub fn has_waits(self) -> bool {
        !matches!(self, Self::Solo | Self::Hits | Self::Yields | Self::Threads)
    }
}

/// Milliseconds of a block that is over before the cores move, most of the time.
const SHORT: u64 = 50;

/// One row of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What the command line calls it.
    pub name: &'static str,
    /// What a task does.
    pub shape: Shape,
    /// Worker threads of the runtime; none for a current-thread runtime.
    pub workers: usize,
    /// How many tasks, or threads, or arrivals a millisecond.
    pub tasks: usize,
    /// How many objects may be open.
    pub size: usize,
    /// What the case isolates.
    pub isolates: &'static str,
}

impl Case {
    /// The case of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// Whether it shows how far apart the cores are: it plays on two, and no timer decides.
    pub fn feels_distance(&self) -> bool {
        let timed = matches!(self.shape, Shape::Sleeps | Shape::Spike | Shape::Burst);
        self.workers > 1 && !timed
    }

    /// Rounds and milliseconds of a block, where so many of such a length are wanted: the same time in
    /// more and shorter ones where distance shows, so that a round is over before the cores move.
    pub fn rounds(&self, rounds: usize, millis: u64) -> (usize, u64) {
        match self.feels_distance() {
            true => {
                let parts = (millis / SHORT).max(1);
                (rounds * parts as usize, millis / parts)
            }
            false => (rounds, millis),
        }
    }

    /// A time of a cycle as a reader wants it in this case: the number, and its unit.
    pub fn in_unit(&self, ns_per_cycle: f64) -> (f64, &'static str) {
        match self.shape {
            Shape::Solo => (ns_per_cycle, "ns a cycle"),
            Shape::Spike | Shape::Burst => (ns_per_cycle / 1e6, "ms a burst"),
            Shape::Sleeps | Shape::Arrivals => (1e6 / ns_per_cycle, "thousand cycles/s"),
            _ => (1e3 / ns_per_cycle, "million cycles/s"),
        }
    }

    /// Whether a smaller number is the better one in this case's unit.
    pub fn less_is_better(&self) -> bool {
        matches!(self.shape, Shape::Solo | Shape::Spike | Shape::Burst)
    }
}

/// The cases, in the order of the table.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case { name: "one_task", shape: Shape::Solo, workers: 0, tasks: 1, size: 16,
           isolates: "nothing shared: the length of the hit path" },
    Case { name: "one_worker", shape: Shape::Hits, workers: 1, tasks: 8, size: 16,
           isolates: "task switches beside the hit path; the base of the next case" },
    Case { name: "hits_2", shape: Shape::Hits, workers: 2, tasks: 2, size: 16,
           isolates: "one task a core, hits only" },
    Case { name: "two_workers", shape: Shape::Hits, workers: 2, tasks: 8, size: 16,
           isolates: "what two cores that only hit take from each other" },
    Case { name: "hits_32", shape: Shape::Hits, workers: 2, tasks: 32, size: 64,
           isolates: "as two_workers, more tasks" },
    Case { name: "hits_64", shape: Shape::Hits, workers: 2, tasks: 64, size: 64,
           isolates: "as two_workers, as many tasks as objects" },
    Case { name: "yields_2", shape: Shape::Yields, workers: 2, tasks: 2, size: 16,
           isolates: "a hold over a yield: the object may come back on another core" },
    Case { name: "yields_8", shape: Shape::Yields, workers: 2, tasks: 8, size: 16,
           isolates: "as yields_2, more tasks" },
    Case { name: "yields_32", shape: Shape::Yields, workers: 2, tasks: 32, size: 64,
           isolates: "as yields_2, more tasks" },
    Case { name: "yields_64", shape: Shape::Yields, workers: 2, tasks: 64, size: 64,
           isolates: "as yields_2, as many tasks as objects" },
    Case { name: "keyed", shape: Shape::Hits, workers: 2, tasks: 8, size: 256,
           isolates: "64 keys in turns: the way to a key's pool" },
    Case { name: "threads_2", shape: Shape::Threads, workers: 2, tasks: 2, size: 64,
           isolates: "one thread a core" },
    Case { name: "threads_8", shape: Shape::Threads, workers: 2, tasks: 8, size: 64,
           isolates: "more threads than cores" },
    Case { name: "threads_32", shape: Shape::Threads, workers: 2, tasks: 32, size: 64,
           isolates: "a preempted thread in the middle of a cycle" },
    Case { name: "64_over_8", shape: Shape::Saturated, workers: 2, tasks: 64, size: 8,
           isolates: "hand-off: eight callers an object" },
    Case { name: "1000_over_8", shape: Shape::Saturated, workers: 2, tasks: 1_000, size: 8,
           isolates: "hand-off under a long queue" },
    Case { name: "1000_over_50", shape: Shape::Sleeps, workers: 2, tasks: 1_000, size: 50,
           isolates: "holds of 1.5 ms: the pool should not show" },
    Case { name: "storm", shape: Shape::Storm, workers: 2, tasks: 64, size: 8,
           isolates: "every second wait is cancelled; afterwards every object must be there" },
    Case { name: "spike", shape: Shape::Spike, workers: 2, tasks: 64, size: 16,
           isolates: "everybody at once on an empty pool whose factory takes 2 ms" },
    Case { name: "burst", shape: Shape::Burst, workers: 2, tasks: 50, size: 50,
           isolates: "five idle, 50 callers for 2 ms each, 150 ms to open: wait for a return, or for a dial" },
    Case { name: "arrivals", shape: Shape::Arrivals, workers: 2, tasks: 50, size: 8,
           isolates: "50,000 arrivals a second by schedule: latency without coordinated omission" },
];
