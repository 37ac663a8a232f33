//! The table: what each part of a case may be, and which combinations are played.

use crate::support::{Closing, Gate, Gates, HookGate};

/// What a caller does with its acquire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Waits,
    /// Polls so often, a step of time apart, and gives up.
    Quits(u32),
    /// Has less time than a slow factory needs.
    TimesOut,
}

/// What becomes of a connection that was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    SameTask,
    OtherThread,
    OutsideRuntime,
    AfterShutdown,
    Unwinding,
    AfterClose,
    AfterLastHandle,
    MarkedBroken,
    Detached,
    Closed,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub gates: Gates,
    pub caller: Caller,
    pub release: Release,
}

/// How many parts of a case are not as one would wish, at most.
const TROUBLES: usize = 3;

const HOOKS: [HookGate; 9] = [
    HookGate::Unset,
    HookGate::Sync(Gate::Ok),
    HookGate::Sync(Gate::Discard),
    HookGate::Sync(Gate::Panic),
    HookGate::Async(Gate::Ok),
    HookGate::Async(Gate::Discard),
    HookGate::Async(Gate::Error),
    HookGate::Async(Gate::Panic),
    HookGate::Async(Gate::Never),
];
const HEALTH: [Gate; 3] = [Gate::Ok, Gate::Discard, Gate::Panic];
const CHECKS: [Gate; 4] = [Gate::Ok, Gate::Error, Gate::Panic, Gate::Never];
const CLOSES: [Closing; 5] = [
    Closing::Awaited(Gate::Ok),
    Closing::Awaited(Gate::Panic),
    Closing::Awaited(Gate::Never),
    Closing::InPlace(Gate::Ok),
    Closing::InPlace(Gate::Panic),
];
const CALLERS: [Caller; 8] = [
    Caller::Waits,
    Caller::TimesOut,
    Caller::Quits(0),
    Caller::Quits(1),
    Caller::Quits(2),
    Caller::Quits(3),
    Caller::Quits(4),
    Caller::Quits(8),
];
const RELEASES: [Release; 10] = [
    Release::SameTask,
    Release::OtherThread,
    Release::OutsideRuntime,
    Release::AfterShutdown,
    Release::Unwinding,
    Release::AfterClose,
    Release::AfterLastHandle,
    Release::MarkedBroken,
    Release::Detached,
    Release::Closed,
];

/// One list of values for each part but the factory; the first of each is no trouble.
const SIZES: [usize; 8] = [
    HOOKS.len(),
    HOOKS.len(),
    HOOKS.len(),
    HEALTH.len(),
    CHECKS.len(),
    CLOSES.len(),
    CALLERS.len(),
    RELEASES.len(),
];

/// All cases with this factory in which at most three parts are trouble.
pub fn cases(factory: Gate) -> impl Iterator<Item = Case> {
    let trouble = usize::from(factory != Gate::Ok);
    let mut chosen = Vec::new();
    choose(&mut Vec::new(), TROUBLES - trouble, &mut chosen);
    chosen.into_iter().map(move |at| case(factory, &at))
}

/// Appends all choices of one value per part with at most `troubles` that are not the first.
fn choose(begun: &mut Vec<usize>, troubles: usize, chosen: &mut Vec<[usize; 8]>) {
    let Some(size) = SIZES.get(begun.len()) else {
        chosen.push(begun.as_slice().try_into().unwrap());
        return;
    };
    let most = if troubles > 0 { *size } else { 1 };
    for value in 0..most {
        begun.push(value);
        choose(begun, troubles - usize::from(value > 0), chosen);
        begun.pop();
    }
}

fn case(factory: Gate, at: &[usize; 8]) -> Case {
    Case {
        gates: Gates {
            factory,
            after_create: HOOKS[at[0]],
            before_acquire: HOOKS[at[1]],
            after_release: HOOKS[at[2]],
            health: HEALTH[at[3]],
            check: CHECKS[at[4]],
            close: CLOSES[at[5]],
        },
        caller: CALLERS[at[6]],
        release: RELEASES[at[7]],
    }
}
