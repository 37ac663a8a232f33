//! The theatre: a manager that behaves as its gates say, and the units that it opens.
//!
//! Promise: every unit is counted from its making to its drop, wherever that happens.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use plunge::{
    BoxError, ConnectContext, Manager, OptionsError, Pool, PoolHooks, PoolOptions, Verdict,
};

use super::gates::{Closing, Gate, Gates, HookGate};

/// What is pooled.
#[derive(Debug)]
pub struct Unit {
    /// Counts from 1, in the order of opening.
    pub number: u64,
    theatre: Arc<Theatre>,
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.theatre.live.fetch_sub(1, SeqCst);
        if self.theatre.gates().close == Closing::InPlace(Gate::Panic) && !std::thread::panicking()
        {
            super::burst();
        }
    }
}

#[derive(Debug)]
pub struct Theatre {
    gates: Mutex<Gates>,
    live: AtomicU32,
    made: AtomicU64,
    pub checks: AtomicU64,
    pub closes: AtomicU64,
    /// Dials whose factory or `after_create` is under way.
    pub dialling: AtomicU32,
    /// Acquires whose check or `before_acquire` is under way.
    pub looking: AtomicU32,
}

/// Something under way: counted until its future ends or is dropped.
struct UnderWay<'a>(&'a AtomicU32);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Theatre {
    pub fn new(gates: Gates) -> Arc<Self> {
        Arc::new(Self {
            gates: Mutex::new(gates),
            live: AtomicU32::new(0),
            made: AtomicU64::new(0),
            checks: AtomicU64::new(0),
            closes: AtomicU64::new(0),
            dialling: AtomicU32::new(0),
            looking: AtomicU32::new(0),
        })
    }

    pub fn gates(&self) -> Gates {
        *self.gates.lock().unwrap()
    }

    /// From now on the gates behave so. Which hooks are set does not change.
    pub fn set(&self, gates: Gates) {
        *self.gates.lock().unwrap() = gates;
    }

    /// From now on all goes well.
    pub fn calm(&self) {
        self.set(self.gates().calm());
    }

    /// Units made and not dropped yet.
    pub fn live(&self) -> u32 {
        self.live.load(SeqCst)
    }

    pub fn made(&self) -> u64 {
        self.made.load(SeqCst)
    }

    /// A pool of this theatre's units, with the hooks that the gates speak of.
    pub fn pool(self: &Arc<Self>, options: PoolOptions<Unit>) -> Result<Pool<Unit>, OptionsError> {
        let options = options.hooks(self.hooks());
        let theatre = Arc::clone(self);
        match self.gates().close {
            Closing::InPlace(_) => options.manager(Company::<false>(theatre)),
            Closing::Awaited(_) => options.manager(Company::<true>(theatre)),
        }
    }

    /// A pool of this theatre's units for each key.
    #[cfg(feature = "keyed")]
    pub fn keyed(
        self: &Arc<Self>,
        options: plunge::KeyedOptions<u8, Unit>,
        per_key: PoolOptions<Unit>,
    ) -> Result<plunge::KeyedPool<u8, Unit>, OptionsError> {
        let options = options.per_key(per_key.hooks(self.hooks()));
        let theatre = Arc::clone(self);
        match self.gates().close {
            Closing::InPlace(_) => options.manager(move |_| Company::<false>(theatre.clone())),
            Closing::Awaited(_) => options.manager(move |_| Company::<true>(theatre.clone())),
        }
    }

    fn dial(&self) -> UnderWay<'_> {
        UnderWay::begin(&self.dialling)
    }

    fn look(&self) -> UnderWay<'_> {
        UnderWay::begin(&self.looking)
    }

    fn hooks(self: &Arc<Self>) -> PoolHooks<Unit> {
        let mut hooks = PoolHooks::new();
        macro_rules! set {
            ($field:ident, $sync:ident, $count:expr) => {
                let theatre = Arc::clone(self);
                hooks = match self.gates().$field {
                    HookGate::Unset => hooks,
                    HookGate::Sync(_) => {
                        hooks.$sync(move |_, _| theatre.gates().$field.gate().play_at_once())
                    }
                    HookGate::Async(_) => hooks.$field(move |_, _| {
                        let theatre = Arc::clone(&theatre);
                        Box::pin(async move {
                            let _counted = $count(&theatre);
                            theatre.gates().$field.gate().play().await
                        })
                    }),
                };
            };
        }
        set!(after_create, after_create_sync, Self::dial);
        set!(before_acquire, before_acquire_sync, Self::look);
        set!(after_release, after_release_sync, |_| ());
        hooks
    }
}

/// Acts as the gates of its theatre say; `CLOSES`: closing is something to wait for.
struct Company<const CLOSES: bool>(Arc<Theatre>);

impl<const CLOSES: bool> Manager for Company<CLOSES> {
    type Connection = Unit;
    type Error = BoxError;

    const HAS_ASYNC_CLOSE: bool = CLOSES;

    async fn connect(&self, _: &ConnectContext) -> Result<Unit, BoxError> {
        let _counted = self.0.dial();
        self.0.gates().factory.play().await?;
        self.0.live.fetch_add(1, SeqCst);
        Ok(Unit {
            number: self.0.made.fetch_add(1, SeqCst) + 1,
            theatre: Arc::clone(&self.0),
        })
    }

    async fn check(&self, _: &mut Unit) -> Result<(), BoxError> {
        let _counted = self.0.look();
        self.0.checks.fetch_add(1, SeqCst);
        self.0.gates().check.play().await.map(drop)
    }

    fn is_healthy(&self, _: &Unit) -> bool {
        self.0.gates().health.play_at_once() == Verdict::Keep
    }

    async fn close(&self, unit: Unit) {
        self.0.closes.fetch_add(1, SeqCst);
        // An error of a close has nowhere to go.
        let _ = self.0.gates().close.gate().play().await;
        drop(unit);
    }
}
