//! What must be true whenever everybody waits.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use plunge::PoolStats;
use tokio::time::Instant;

use super::world::{PAUSE, World};

/// By how much a timer may be late.
pub const ROUNDING: Duration = Duration::from_millis(2);

pub struct Truth {
    /// How many may be open: the limit, or what was open when it was lowered.
    most: u32,
    failures: u64,
    found_dead: u64,
    /// Until when no dial need be made, because one failed.
    paused_until: Instant,
    /// Until when an acquire may rest, because what was opened for it was refused.
    resting_until: Instant,
}

impl Truth {
    pub fn new(world: &World) -> Self {
        Self {
            most: world.pool.stats().max_connections,
            failures: 0,
            found_dead: 0,
            paused_until: Instant::now(),
            resting_until: Instant::now(),
        }
    }

    /// Looks; and once more, where a timer has rung in this very millisecond.
    pub async fn look(&mut self, world: &mut World) -> Result<(), String> {
        self.take_note(world);
        if self.check(world).is_ok() {
            return Ok(());
        }
        for _ in 0..16 {
            tokio::task::yield_now().await;
            world.poll();
        }
        self.take_note(world);
        self.check(world)
    }

    fn take_note(&mut self, world: &World) {
        let stats = world.pool.stats();
        let now = Instant::now();
        self.most = stats.max_connections.max(self.most.min(stats.open));
        if stats.connect_failures != self.failures {
            self.failures = stats.connect_failures;
            self.paused_until = now + PAUSE + ROUNDING;
        }
        if world.unruly || stats.found_dead != self.found_dead {
            self.found_dead = stats.found_dead;
            self.resting_until = now + PAUSE + ROUNDING;
        }
    }

    fn check(&self, world: &World) -> Result<(), String> {
        let stats = world.pool.stats();
        let told = |broken: &str| {
            let (held, pending) = (world.held.len(), world.pending());
            let (live, looking) = (world.theatre.live(), world.theatre.looking.load(SeqCst));
            format!(
                "{broken}: {held} held, {pending} pending, {looking} looking, {live} live, {stats:?}"
            )
        };
        for broken in [self.sums(world, &stats), self.line(world, &stats)] {
            broken.map_err(told)?;
        }
        Ok(())
    }

    /// open = idle + leased + connecting + recycling + closing ≤ max, each counted by us too.
    fn sums(&self, world: &World, stats: &PoolStats) -> Result<(), &'static str> {
        let theatre = &world.theatre;
        let looking = theatre.looking.load(SeqCst);
        let here = stats.idle + stats.leased + stats.recycling + stats.closing;
        if stats.open != here + stats.connecting {
            return Err("the sum is not right");
        }
        if stats.open > self.most {
            return Err("more are open than may be");
        }
        if stats.leased != world.held.len() as u32 + looking {
            return Err("leased are those that are held or looked at");
        }
        if stats.connecting < theatre.dialling.load(SeqCst) {
            return Err("a dial is under way that is not counted");
        }
        if theatre.live() < here || theatre.live() > stats.open {
            return Err("some are lost, or live on");
        }
        let mut numbers = world
            .held
            .iter()
            .map(|held| held.number)
            .collect::<Vec<_>>();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() != world.held.len() {
            return Err("two hold one");
        }
        Ok(())
    }

    /// Nobody waits while something is idle or may be opened, nor past its time.
    fn line(&self, world: &World, stats: &PoolStats) -> Result<(), &'static str> {
        let now = Instant::now();
        let looking = world.theatre.looking.load(SeqCst) as usize;
        let in_line = world.pending() - looking;
        if stats.waiting as usize > in_line {
            return Err("somebody is in line who does not wait");
        }
        if (stats.waiting as usize) < in_line && now > self.resting_until {
            return Err("somebody waits who is not in line");
        }
        if world.first_end().is_some_and(|end| now > end + ROUNDING) {
            return Err("somebody waits past its time");
        }
        if stats.closed && stats.waiting > 0 {
            return Err("somebody waits for a closed pool");
        }
        if stats.waiting == 0 || world.suspended {
            return Ok(());
        }
        if stats.idle > 0 {
            return Err("somebody waits beside an idle one");
        }
        let wanted = stats.waiting.min(world.pool.tuning().max_connecting);
        if stats.capacity_free > 0 && stats.connecting < wanted && now > self.paused_until {
            return Err("somebody waits though one may be opened");
        }
        Ok(())
    }
}
