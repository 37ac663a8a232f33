//! A circuit breaker: an upstream that fails is left alone for a while.
//!
//! Promise: while it is open no call is made; then one probe is, and its end decides. The end of a call that began before the breaker turned counts for nothing. What broke off under many calls is one failure, unless
//! another call that was under way then ends well later: what it outlived was not common to all, and each counts.
//! An answer that may last for long is a success as it begins; if it breaks off, that is a failure all the same, and
//! a pause that it ended too early is twice as long the next time.
//!
//! | state    | a call is               | leaves for                                                  |
//! |----------|-------------------------|-------------------------------------------------------------|
//! | closed   | admitted                | open: so many failures in a row, or too large a share       |
//! | open     | rejected                | half-open: the first call after the cooldown is the probe   |
//! | half-open| rejected; one probe is under way | closed: a probe succeeds; open, for twice as long: one fails |
//!
//! A probe that is given up, gives a sign that its answer is on its way, or goes on for longer than `probe_timeout` makes
//! room for the next. Until one of them ends those that are under way count, too: the first end decides.

use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;

/// How long after a break the calls that were under way at it report their ends.
const ONE_BREAK: Duration = Duration::from_millis(500);
/// How long after it an answer may still come out of what was received before it.
const OUTLIVED: Duration = Duration::from_millis(100);

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Percent of failures that open it,
    pub failure_percent: u32,
    /// among at least so many calls
    pub least_calls: u32,
    /// in this time.
    pub window: Duration,
    /// How long it stays open the first time.
    pub cooldown: Duration,
    /// How long at most.
    pub longest_cooldown: Duration,
    /// How long the one call that is made then keeps all others away, if it neither ends nor gives a sign.
    pub probe_timeout: Duration,
}

/// The state, as pages show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are made.
    Closed,
    /// No call is made.
    Open,
    /// One call is made, to see.
    HalfOpen,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered, whatever it said.
    Success,
    /// It did not.
    Failure,
    /// It went away under the call, or could not be reached. Whoever was under way at the same moment
    /// says the same: calls that began before such an end count with it as one failure, until one of them succeeds.
    Lost,
    /// The call was given up for a reason of its own.
    Abandoned,
}

/// The right to make one call; give it back with the call's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    turn: u64,
    begun: Instant,
    is_probe: bool,
}

/// An answer that began, and may still break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Began {
    /// As it is since.
    admission: Admission,
    at: Instant,
    /// Failures in a row before it.
    in_a_row: u32,
    /// Successes up to it.
    successes: u64,
    /// The pause that it ended, if it was a probe.
    pause: Option<Duration>,
}

/// No call may be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// After this it may be worth a try.
    pub retry_after: Duration,
}

/// The breaker of one upstream.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    options: BreakerOptions,
    state: State,
    /// Counts the changes of state.
    turn: u64,
    in_a_row: u32,
    successes: u64,
    lost: Option<Break>,
    window: Window,
    cooldown: Duration,
    opened: u64,
}

/// What broke off last.
#[derive(Clone, Copy, Debug)]
struct Break {
    /// When that counted.
    at: Instant,
    /// How many said the same after that, and did not count.
    others: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// Until then the probe that began last is the only one.
    HalfOpen {
        since: Instant,
        until: Instant,
    },
}

impl CircuitBreaker {
    /// A closed breaker.
    pub fn new(options: BreakerOptions, now: Instant) -> Self {
        let (window, cooldown) = (Window::new(options.window, now), options.cooldown);
        Self {
            options,
            state: State::Closed,
            turn: 0,
            in_a_row: 0,
            successes: 0,
            lost: None,
            window,
            cooldown,
            opened: 0,
        }
    }

    /// What it was made with.
    pub fn options(&self) -> BreakerOptions {
        self.options
    }

    /// Gives it these options: where they judge otherwise it begins anew, and where only the time of a probe is another
    /// one, it goes on.
    pub fn tune(&mut self, options: BreakerOptions, now: Instant) {
        self.options.probe_timeout = options.probe_timeout;
        if self.options != options {
            self.renew(options, now);
        }
    }

    /// Closes it and gives it other options. Calls that began before count for nothing.
    pub fn renew(&mut self, options: BreakerOptions, now: Instant) {
        *self = Self {
            turn: self.turn + 1,
            opened: self.opened,
            ..Self::new(options, now)
        };
    }

    /// Asks for a call.
    ///
    /// # Errors
    ///
    /// [`Rejected`] while it is open, and while a probe is under way.
    pub fn admit(&mut self, now: Instant) -> Result<Admission, Rejected> {
        match self.state {
            State::Closed => {}
            State::Open { until } | State::HalfOpen { until, .. } if now < until => {
                let left = until.saturating_duration_since(now);
                return Err(Rejected {
                    // A probe has most likely ended before its time is over.
                    retry_after: left.min(self.cooldown),
                });
            }
            State::Open { .. } => self.enter(self.probed(now)),
            // No turn: the end of a probe that is late says as much as that of this one.
            State::HalfOpen { .. } => self.state = self.probed(now),
        }
        Ok(Admission {
            turn: self.turn,
            begun: now,
            is_probe: !matches!(self.state, State::Closed),
        })
    }

    /// Opens it, if it is closed, for what was seen elsewhere.
    pub fn trip(&mut self, now: Instant) {
        if let State::Closed = self.state {
            self.open(now);
        }
    }

    /// Notes how a call ended. `false`: it began before the breaker turned, and says nothing.
    pub fn record(&mut self, admission: Admission, outcome: Outcome, now: Instant) -> bool {
        if admission.turn != self.turn {
            return false;
        }
        match outcome {
            Outcome::Lost if self.is_told(admission, now) => return true,
            Outcome::Success => self.outlived(admission, now),
            _ => {}
        }
        match (self.state, outcome) {
            (State::Closed, Outcome::Abandoned) | (State::Open { .. }, _) => {}
            (State::Closed, Outcome::Success) => {
                self.in_a_row = 0;
                self.successes += 1;
                self.window.add(true, now);
            }
            (State::Closed, Outcome::Failure | Outcome::Lost) => {
                self.in_a_row += 1;
                self.window.add(false, now);
                if self.too_many(now) {
                    self.open(now);
                }
            }
            (State::HalfOpen { .. }, Outcome::Success) => {
                self.cooldown = self.options.cooldown;
                self.in_a_row = 0;
                self.successes += 1;
                self.window.clear(now);
                self.window.add(true, now);
                self.enter(State::Closed);
            }
            (State::HalfOpen { .. }, Outcome::Failure | Outcome::Lost) => {
                self.cooldown = self.longer(self.cooldown);
                self.open(now);
            }
            (State::HalfOpen { .. }, Outcome::Abandoned) => self.make_room(admission, now),
        }
        true
    }

    /// Notes a sign that the answer to a call is on its way, which may be far.
    pub fn lives(&mut self, admission: Admission, now: Instant) {
        if admission.turn == self.turn {
            self.make_room(admission, now);
        }
    }

    /// If this is the probe that keeps others away, the next caller may probe at once.
    fn make_room(&mut self, admission: Admission, now: Instant) {
        if let State::HalfOpen { since, until } = &mut self.state
            && *since == admission.begun
        {
            *until = now;
        }
    }

    /// Notes that the answer to a call began: a success, whose end may be far. What broke off under the call is
    /// outlived by it now, and not at its end. `None`: the call began before the breaker turned, and says nothing.
    pub fn began(&mut self, admission: Admission, now: Instant) -> Option<Began> {
        let in_a_row = self.in_a_row;
        let pause = match self.state {
            State::HalfOpen { .. } => Some(self.cooldown),
            _ => None,
        };
        if !self.record(admission, Outcome::Success, now) {
            return None;
        }
        Some(Began {
            admission: Admission {
                turn: self.turn,
                ..admission
            },
            at: now,
            in_a_row,
            successes: self.successes,
            pause,
        })
    }

    /// Notes that an answer broke off after it [`began`](Self::began): what that had said for the upstream counts no
    /// more, as far as it is of now. `false`: the breaker turned since, and it says nothing.
    pub fn broke_off(&mut self, began: Began, outcome: Outcome, now: Instant) -> bool {
        let Began {
            admission,
            at,
            in_a_row,
            successes,
            pause,
        } = began;
        if admission.turn != self.turn {
            return false;
        }
        if outcome == Outcome::Lost && self.is_told(admission, now) {
            return true;
        }
        if now.saturating_duration_since(at) < self.options.window {
            self.window.take_back(at, now);
            // Nobody else fared better meanwhile.
            if self.successes == successes {
                self.in_a_row += in_a_row;
            }
            if let Some(pause) = pause {
                self.cooldown = self.longer(pause);
            }
        }
        self.record(admission, Outcome::Failure, now)
    }

    /// Whether a loss says what another one said: that the same thing broke off.
    fn is_told(&mut self, admission: Admission, now: Instant) -> bool {
        let same = |lost: &&mut Break| {
            admission.begun <= lost.at && now.saturating_duration_since(lost.at) < ONE_BREAK
        };
        match self.lost.as_mut().filter(same) {
            Some(lost) => lost.others = lost.others.saturating_add(1),
            None => {
                self.lost = Some(Break { at: now, others: 0 });
                return false;
            }
        }
        true
    }

    /// Counts each loss that was merged into a break which this call, under way then, outlived.
    fn outlived(&mut self, admission: Admission, now: Instant) {
        let outlived = |lost: &mut Break| {
            admission.begun <= lost.at && now.saturating_duration_since(lost.at) >= OUTLIVED
        };
        let lost = self.lost.take_if(outlived);
        // What is older than the window says nothing of now.
        let recent = |lost: &Break| now.saturating_duration_since(lost.at) < self.options.window;
        if let Some(lost) = lost.filter(recent) {
            self.window.add_failures(lost.others, now);
        }
    }

    /// Whether a call would be rejected now.
    pub fn rejects(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => false,
            State::Open { until } | State::HalfOpen { until, .. } => now < until,
        }
    }

    /// The state now; one whose pause is over is half-open, though nobody asked since.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it opened.
    pub fn times_opened(&self) -> u64 {
        self.opened
    }

    fn too_many(&mut self, now: Instant) -> bool {
        let (good, bad) = self.window.sums(now);
        let calls = good + bad;
        self.in_a_row >= self.options.failures
            || (calls >= u64::from(self.options.least_calls)
                && bad * 100 >= calls * u64::from(self.options.failure_percent))
    }

    fn open(&mut self, now: Instant) {
        self.opened += 1;
        self.enter(State::Open {
            until: now + self.cooldown,
        });
    }

    /// The state as a probe begins.
    fn probed(&self, now: Instant) -> State {
        State::HalfOpen {
            since: now,
            until: now + self.options.probe_timeout,
        }
    }

    /// The pause after one that was too short.
    fn longer(&self, pause: Duration) -> Duration {
        (pause * 2).min(self.options.longest_cooldown)
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.turn += 1;
    }
}

impl Admission {
    /// Whether the call is made to see.
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }
}

impl BreakerState {
    /// A word for pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures: 10,
            failure_percent: 50,
            least_calls: 40,
            window: Duration::from_secs(10),
            cooldown: Duration::from_secs(1),
            longest_cooldown: Duration::from_secs(30),
            probe_timeout: Duration::from_secs(30),
        }
    }
}
