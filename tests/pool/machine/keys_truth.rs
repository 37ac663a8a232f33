//! What must be true of many keys with one limit whenever everybody waits.

use plunge::PoolStats;
use tokio::time::Instant;

use super::keys::{DIALS, World};
use super::truth::ROUNDING;
use super::world::PAUSE;

pub struct Truth {
    /// How many may be open: the limit, or what was open when it was lowered.
    most: u32,
    failures: u64,
    /// Until when no dial need be made, because one failed.
    paused_until: Instant,
}

impl Truth {
    pub fn new(world: &World) -> Self {
        Self {
            most: world.keyed.stats().max_connections,
            failures: 0,
            paused_until: Instant::now(),
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
        let stats = world.keyed.stats();
        self.most = stats.max_connections.max(self.most.min(stats.open));
        let keys = world.keyed.all_stats();
        let failures = keys.iter().map(|(_, stats)| stats.connect_failures).sum();
        if failures != self.failures {
            self.failures = failures;
            self.paused_until = Instant::now() + PAUSE + ROUNDING;
        }
    }

    fn check(&self, world: &World) -> Result<(), String> {
        let keys = world.keyed.all_stats();
        for broken in [self.sums(world, &keys), self.lines(world, &keys)] {
            broken.map_err(|broken| {
                let (stats, live) = (world.keyed.stats(), world.theatre.live());
                format!(
                    "{broken}: {} held, {live} live, {stats:?}, {keys:?}",
                    world.held.len()
                )
            })?;
        }
        Ok(())
    }

    /// The sum of all keys is what the commons count, but for keys that were removed.
    fn sums(&self, world: &World, keys: &[(u8, PoolStats)]) -> Result<(), &'static str> {
        let stats = world.keyed.stats();
        let sum = keys.iter().map(|(_, key)| key.open).sum::<u32>();
        if stats.open > self.most {
            return Err("more are open than may be");
        }
        if sum > stats.open {
            return Err("a key has more than the commons know of");
        }
        if world.theatre.live() > stats.open {
            return Err("some live on");
        }
        if (world.held.len() as u32) > stats.open {
            return Err("more are held than are open");
        }
        let mut numbers: Vec<_> = world.held.iter().map(|held| held.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        match numbers.len() == world.held.len() {
            true => Ok(()),
            false => Err("two hold one"),
        }
    }

    /// Nobody waits while something of its key is idle, or may be opened, also in the place of
    /// something idle of another key.
    fn lines(&self, world: &World, keys: &[(u8, PoolStats)]) -> Result<(), &'static str> {
        let now = Instant::now();
        if world.first_end().is_some_and(|end| now > end + ROUNDING) {
            return Err("somebody waits past its time");
        }
        let stats = world.keyed.stats();
        let at_rest = |key: &PoolStats| key.idle + key.leased + key.connecting;
        // What is on its way out makes room later.
        let settled = keys.iter().map(|(_, key)| at_rest(key)).sum::<u32>() == stats.open;
        let idle = keys.iter().any(|(_, key)| key.idle > 0);
        for (key, line) in keys {
            let shut = world.all_suspended || world.suspended[usize::from(*key)];
            if line.waiting == 0 || shut {
                continue;
            }
            if line.idle > 0 {
                return Err("somebody waits beside an idle one of its key");
            }
            let wants = line.capacity_free > 0 && line.connecting < line.waiting.min(DIALS);
            if !wants || now <= self.paused_until {
                continue;
            }
            if stats.open < stats.max_connections {
                return Err("somebody waits though one may be opened");
            }
            if idle && settled && stats.open <= stats.max_connections {
                return Err("somebody waits beside an idle one of another key");
            }
        }
        Ok(())
    }
}
