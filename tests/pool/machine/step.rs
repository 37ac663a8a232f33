//! Steps, and the cases that are made of them.

use plunge::{Fairness, IdleOrder};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::Strategy;

use crate::support::{Closing, Gate, Gates, HookGate};

/// The highest limit of a case.
pub const CEILING: u32 = 4;

/// A piece of user code, to be set to another behaviour.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Factory,
    AfterCreate,
    BeforeAcquire,
    AfterRelease,
    Health,
    Check,
    Close,
}

/// What happens next. A number picks one of those that there are.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Acquire,
    /// One that has little time.
    AcquireBriefly,
    TryAcquire,
    Cancel(u8),
    Release(u8),
    /// The holder panics.
    Unwind(u8),
    Break(u8),
    Detach(u8),
    CloseOne(u8),
    /// The close of one connection is not waited for any longer.
    CancelClose,
    Resize(u32),
    Evict,
    Suspend,
    Resume,
    Fairness(Fairness),
    MaxConnecting(u32),
    MaxWaiters(u32),
    MinIdle(u32),
    Set(Place, Gate),
    Calm,
    Pass(u64),
    Close,
}

/// What a pool is built with, and what is done to it.
#[derive(Clone, Debug)]
pub struct Case {
    pub gates: Gates,
    pub fairness: Fairness,
    pub order: IdleOrder,
    pub steps: Vec<Step>,
}

pub const GATES: [Gate; 7] = [
    Gate::Ok,
    Gate::Slow,
    Gate::Error,
    Gate::Transient,
    Gate::Discard,
    Gate::Panic,
    Gate::Never,
];

const PLACES: [Place; 8] = [
    Place::Factory,
    Place::Factory,
    Place::AfterCreate,
    Place::BeforeAcquire,
    Place::AfterRelease,
    Place::Health,
    Place::Check,
    Place::Close,
];

impl Step {
    /// The step that a number stands for: its lower half says which kind, in thousandths, the upper
    /// half what of it. Read so, a step costs nothing to choose, and a smaller number is a simpler one.
    fn of(number: u32, rules: &[Fairness]) -> Self {
        let (kind, of) = (((number % (1 << 16)) * 1_000) >> 16, number >> 16);
        let (pick, count) = (of as u8, 1 + of % CEILING);
        match kind {
            0..180 => Self::Acquire,
            180..360 => Self::Release(pick),
            360..400 => Self::AcquireBriefly,
            400..440 => Self::TryAcquire,
            440..530 => Self::Cancel(pick),
            530..590 => Self::Pass(u64::from(1 + of % 150)),
            590..630 => Self::Break(pick),
            630..650 => Self::Unwind(pick),
            650..670 => Self::Detach(pick),
            670..690 => Self::CloseOne(pick),
            690..700 => Self::CancelClose,
            700..750 => Self::Resize(count),
            750..780 => Self::Evict,
            780..820 => Self::Resume,
            820..835 => Self::Suspend,
            835..850 => Self::MaxConnecting(count),
            850..865 => Self::MaxWaiters(1 + of % 8),
            865..885 => Self::MinIdle(count - 1),
            885..905 => Self::Fairness(rules[of as usize % rules.len()]),
            905..938 => Self::Calm,
            938..998 => Self::Set(PLACES[of as usize % 8], GATES[of as usize / 8 % 7]),
            _ => Self::Close,
        }
    }
}

fn hook() -> impl Strategy<Value = HookGate> {
    let well = Gate::Ok;
    select(vec![
        HookGate::Unset,
        HookGate::Unset,
        HookGate::Sync(well),
        HookGate::Async(well),
    ])
}

pub fn gates() -> impl Strategy<Value = Gates> {
    let close = select(vec![Closing::Awaited(Gate::Ok), Closing::InPlace(Gate::Ok)]);
    (hook(), hook(), hook(), close).prop_map(
        |(after_create, before_acquire, after_release, close)| Gates {
            after_create,
            before_acquire,
            after_release,
            close,
            ..Gates::default()
        },
    )
}

/// Cases of up to so many steps, whose line follows the rules given, from one to the other.
pub fn cases(rules: &'static [Fairness], steps: usize) -> impl Strategy<Value = Case> {
    let order = select(vec![IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo]);
    let numbers = vec(any::<u32>(), 1..=steps);
    (gates(), order, numbers).prop_map(|(gates, order, numbers)| Case {
        gates,
        fairness: rules[0],
        order,
        steps: numbers
            .into_iter()
            .map(|number| Step::of(number, rules))
            .collect(),
    })
}
