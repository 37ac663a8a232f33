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
    /// Tasks hold an object over one yield; more tasks than objects. Waits are measured.
    Saturated,
    /// As `Hits`, with operating-system threads in the place of tasks.
    Threads,
}

/// One row of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What the command line calls it.
    pub name: &'static str,
    /// What a task does.
    pub shape: Shape,
    /// Worker threads of the runtime; none for a current-thread runtime.
    pub workers: usize,
    /// How many tasks, or threads.
    pub tasks: usize,
    /// How many objects may be open.
    pub size: usize,
    /// What the case isolates.
    pub isolates: &'static str,
}

/// The cases, in the order of the table.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case { name: "one_task", shape: Shape::Solo, workers: 0, tasks: 1, size: 16,
           isolates: "nothing shared: the length of the hit path" },
    Case { name: "one_worker", shape: Shape::Hits, workers: 1, tasks: 8, size: 16,
           isolates: "task switches beside the hit path; the base of the next case" },
    Case { name: "two_workers", shape: Shape::Hits, workers: 2, tasks: 8, size: 16,
           isolates: "what two cores that only hit take from each other" },
    Case { name: "threads_32", shape: Shape::Threads, workers: 2, tasks: 32, size: 64,
           isolates: "a preempted thread in the middle of a cycle" },
    Case { name: "64_over_8", shape: Shape::Saturated, workers: 2, tasks: 64, size: 8,
           isolates: "hand-off: eight callers an object" },
    Case { name: "1000_over_8", shape: Shape::Saturated, workers: 2, tasks: 1_000, size: 8,
           isolates: "hand-off under a long queue" },
];
