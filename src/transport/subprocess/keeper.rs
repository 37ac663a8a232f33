//! The keeper: one thread that sees children end and walks retired ones to their end.
//!
//! Promise: it needs no runtime and no other thread, so that a child is seen, signalled and reaped
//! whatever became of the code that started it.
//! Cost: one thread and two descriptors for the program, started with the first child; one pidfd and
//! a wake-up or two a child.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::ward::Ward;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, PerProcess};

/// The thread's own descriptor among the pidfds; no child has this id.
const WAKE: u64 = 0;
/// Children looked at in one go.
const EVENTS: usize = 64;

/// The way to the keeper; clones lead to the same one.
#[derive(Clone)]
pub(super) struct Keeper(Arc<Shared>);

struct Shared {
    orders: mpsc::UnboundedSender<Order>,
    wake: OwnedFd,
    next_id: AtomicU64,
}

enum Order {
    Watch(u64, Ward),
    Retire(u64),
    Kill(u64),
    Settle(oneshot::Sender<()>),
}

impl Keeper {
    /// The keeper of this process, started if need be.
    pub(super) fn get() -> io::Result<Self> {
        static KEEPER: PerProcess<Mutex<Option<Keeper>>> = PerProcess::new(|| Mutex::new(None));
        let place = KEEPER.get_by_number();
        let mut place = place.lock();
        if let Some(keeper) = &*place {
            return Ok(keeper.clone());
        }
        let keeper = Self::start()?;
        *place = Some(keeper.clone());
        Ok(keeper)
    }

    fn start() -> io::Result<Self> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &poll,
            &wake,
            epoll::EventData::new_u64(WAKE),
            epoll::EventFlags::IN,
        )?;
        let shared = Arc::new(Shared {
            orders,
            wake,
            next_id: AtomicU64::new(WAKE + 1),
        });
        let round = Round {
            shared: shared.clone(),
            inbox,
            poll,
            wards: HashMap::new(),
            deadlines: BTreeSet::new(),
            settling: Vec::new(),
        };
        thread::Builder::new()
            .name("plunge-keeper".into())
            .spawn(move || round.run())?;
        Ok(Self(shared))
    }

    /// A number for a child, used once.
    pub(super) fn next_id(&self) -> u64 {
        // Relaxed: only that it is used once matters.
        self.0.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands a running child over.
    pub(super) fn watch(&self, id: u64, ward: Ward) {
        self.order(Order::Watch(id, ward));
    }

    /// Starts a retirement.
    pub(super) fn retire(&self, id: u64) {
        self.order(Order::Retire(id));
    }

    /// Ends a child without a grace.
    pub(super) fn kill(&self, id: u64) {
        self.order(Order::Kill(id));
    }

    /// Waits until every child whose retirement was ordered is gone.
    pub(super) async fn settled(&self) {
        let (settled, waits) = oneshot::channel();
        self.order(Order::Settle(settled)); // after the orders before it
        let _ = waits.await; // an error means that there is no keeper, and so no child
    }

    fn order(&self, order: Order) {
        // The thread never ends, so the order always arrives; a full counter has woken it already.
        let _ = self.0.orders.send(order);
        let _ = rustix::io::write(&self.0.wake, &1_u64.to_ne_bytes());
    }
}

/// What the thread owns.
struct Round {
    shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Order>,
    poll: OwnedFd,
    wards: HashMap<u64, Ward>,
    deadlines: BTreeSet<(Instant, u64)>,
    settling: Vec<oneshot::Sender<()>>,
}

impl Round {
    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let wait = self
                .deadlines
                .first()
                .map(|(first, _)| timespec(first.saturating_duration_since(Instant::now())));
            events.clear();
            // An error is an interruption: the round goes on with no event.
            let _ = epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                wait.as_ref(),
            );
            for event in &events {
                match event.data.u64() {
                    WAKE => self.clear_wake(),
                    id => self.collect(id),
                }
            }
            while let Ok(order) = self.inbox.try_recv() {
                self.obey(order);
            }
            self.advance(Instant::now());
            if !self.settling.is_empty() && !self.wards.values().any(Ward::is_retiring) {
                for settled in self.settling.drain(..) {
                    let _ = settled.send(()); // an error means that nobody waits any more
                }
            }
        }
    }

    fn clear_wake(&self) {
        // Nothing to read means that it is cleared.
        let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
    }

    fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Watch(id, ward) => {
                let seen = epoll::add(
                    &self.poll,
                    &ward.pidfd,
                    epoll::EventData::new_u64(id),
                    epoll::EventFlags::IN,
                );
                self.wards.insert(id, ward);
                if let Err(error) = seen {
                    // Its exit could not be seen: end it, and look until it is gone.
                    tracing::error!(%error, "cannot watch a child, it is ended");
                    self.change(id, |ward| ward.kill(now));
                }
            }
            Order::Retire(id) => self.change(id, |ward| ward.retire(now)),
            Order::Kill(id) => self.change(id, |ward| ward.kill(now)),
            Order::Settle(settled) => self.settling.push(settled),
        }
    }

    /// Takes every step that is due. A child that does not end is looked at again with each step.
    fn advance(&mut self, now: Instant) {
        while let Some(&(due, id)) = self.deadlines.first()
            && due <= now
        {
            self.deadlines.pop_first();
            self.collect(id);
            self.change(id, |ward| ward.advance(now));
        }
    }

    /// Changes a ward and keeps its deadline in order.
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Ward)) {
        let Some(ward) = self.wards.get_mut(&id) else {
            return; // gone before the order came
        };
        if let Some(old) = ward.deadline {
            self.deadlines.remove(&(old, id));
        }
        change(ward);
        if let Some(new) = ward.deadline {
            self.deadlines.insert((new, id));
        }
    }

    /// Lets go of a child that ended.
    fn collect(&mut self, id: u64) {
        if let Some(ward) = self.wards.get_mut(&id)
            && ward.collect()
        {
            if let Some(deadline) = ward.deadline {
                self.deadlines.remove(&(deadline, id));
            }
            self.wards.remove(&id); // closes the pidfd, which takes it out of the poll
        }
    }
}

/// A time to wait, rounded up so that nothing is asked twice in the last millisecond.
fn timespec(wait: Duration) -> Timespec {
    let millis = wait.as_millis().saturating_add(1);
    Timespec {
        tv_sec: i64::try_from(millis / 1000).unwrap_or(i64::MAX),
        tv_nsec: (millis % 1000) as i64 * 1_000_000,
    }
}
