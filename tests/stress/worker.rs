//! Workers: tasks and threads that take tools, and let go of them in every way there is.

use std::sync::mpsc::Sender;
use std::time::Duration;

use plunge::{AcquireError, AcquireErrorKind, Pool, PoolConnection};
use tokio::task::yield_now;

use crate::dice::Dice;
use crate::round::Tally;
use crate::shop::Tool;

pub type Held = PoolConnection<Tool>;

/// A tool in somebody's hands, until it is opened or dropped, with its task if need be.
struct Grip(Option<Held>);

impl Grip {
    fn new(tool: Held) -> Self {
        tool.grasp();
        Self(Some(tool))
    }

    fn open(mut self) -> Held {
        let tool = self.0.take().expect("opened once");
        tool.let_go();
        tool
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        if let Some(tool) = &self.0 {
            tool.let_go();
        }
    }
}

/// What a worker may do with its pool beside taking tools.
#[derive(Clone, Copy, Debug)]
pub struct License {
    /// Ceiling of the limits that it may set; 0: it may set none.
    pub tunes: u32,
    pub suspends: bool,
}

/// A task's share of a round. Ends early where the pool is closed.
pub async fn task(
    pool: Pool<Tool>,
    mut dice: Dice,
    deeds: u32,
    license: License,
    others: Sender<Held>,
) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..deeds {
        if dice.percent(3) {
            meddle(&pool, &mut dice, license).await;
        }
        match acquire(&pool, &mut dice, &mut tally).await {
            Ok(Some(tool)) => release(tool, &mut dice, &others).await,
            Ok(None) => {}
            Err(error) => match error.kind() {
                // The second: the runtime is shutting down.
                AcquireErrorKind::Closed | AcquireErrorKind::NoRuntime => break,
                AcquireErrorKind::Connect | AcquireErrorKind::TooManyWaiters => tally.refused += 1,
                // The time is far longer than a round: somebody was forgotten.
                _ => panic!("{error:?}"),
            },
        }
    }
    tally
}

async fn acquire(
    pool: &Pool<Tool>,
    dice: &mut Dice,
    tally: &mut Tally,
) -> Result<Option<Grip>, AcquireError> {
    let tool = match dice.below(10) {
        0 => pool.try_acquire().ok(),
        1 => {
            let mut acquire = Box::pin(pool.acquire());
            match futures::poll!(acquire.as_mut()) {
                std::task::Poll::Ready(result) => Some(result?),
                std::task::Poll::Pending => None,
            }
        }
        2 => {
            let limit = Duration::from_micros(dice.below(300));
            let acquired = tokio::time::timeout(limit, pool.acquire()).await;
            acquired.ok().transpose()?
        }
        3 => match pool
            .acquire_timeout(Duration::from_millis(dice.below(3)))
            .await
        {
            Err(error) if error.is_timeout() => None,
            result => Some(result?),
        },
        _ => Some(pool.acquire().await?),
    };
    match &tool {
        Some(_) => tally.acquired += 1,
        None => tally.given_up += 1,
    }
    Ok(tool.map(Grip::new))
}

async fn release(grip: Grip, dice: &mut Dice, others: &Sender<Held>) {
    for _ in 0..dice.below(3) {
        yield_now().await;
    }
    let mut tool = grip.open();
    match dice.below(40) {
        0 => tool.mark_broken(),
        1 => tool.fall_ill(),
        2 => {
            tool.leave();
            drop(tool.detach());
        }
        3 => tool.close().await,
        4 => drop(others.send(tool)),
        5 => {
            let unwinding = tokio::spawn(async move {
                let _held = tool;
                std::panic::resume_unwind(Box::new("a task in trouble"))
            });
            assert!(unwinding.await.is_err());
        }
        _ => drop(tool),
    }
}

async fn meddle(pool: &Pool<Tool>, dice: &mut Dice, license: License) {
    match dice.below(4) {
        0 => pool.evict_all(),
        1 if license.tunes > 0 => {
            let limit = 1 + dice.below(u64::from(license.tunes)) as u32;
            pool.tune(|tuning| {
                tuning.max_connections = limit;
                tuning.min_idle = tuning.min_idle.min(limit);
            })
            .unwrap();
        }
        2 if license.suspends => {
            pool.suspend();
            yield_now().await;
            pool.resume();
        }
        _ => {
            let stats = pool.stats();
            let sum = stats.idle + stats.leased + stats.connecting + stats.recycling;
            assert_eq!(stats.open, sum + stats.closing, "{stats:?}");
        }
    }
}

/// A thread's share of a round: no runtime but the pool's own, if it has one.
pub fn thread(pool: &Pool<Tool>, mut dice: Dice, deeds: u32) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..deeds {
        let acquired = match dice.percent(50) {
            true => pool.try_acquire().ok().map(Ok),
            false => Some(futures::executor::block_on(pool.acquire())),
        };
        let mut tool = match acquired {
            Some(Ok(tool)) => tool,
            Some(Err(error)) if error.is_timeout() => panic!("{error:?}"),
            Some(Err(error)) if error.is_closed() => break,
            Some(Err(_)) | None => {
                tally.refused += 1;
                continue;
            }
        };
        tool = Grip::new(tool).open();
        tally.acquired += 1;
        match dice.below(20) {
            0 => tool.mark_broken(),
            1 => {
                let unwinding = std::thread::spawn(move || {
                    let _held = tool;
                    std::panic::resume_unwind(Box::new("a thread in trouble"))
                });
                assert!(unwinding.join().is_err());
            }
            _ => drop(tool),
        }
    }
    tally
}
