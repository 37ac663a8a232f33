//! Which child knows what: a state that a client carries back, and a task, lead to the child that made
//! them.
//!
//! Promise: bounded in number and time; what is not known, or whose child is gone, goes to any child, which
//! says so itself. Cost: a search for two words in each answer of a stateless server; the rest only where
//! one is found.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::sync::Mutex;

/// Marks that are kept; the oldest goes first.
const MAX_MARKS: usize = 16 << 10;
/// For how long after their last use.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// For how long a child that is to go waits for who carries something back.
const AWAITED: Duration = Duration::from_secs(5 * 60);

/// The marks of one group of children.
#[derive(Default)]
pub struct Affinity {
    hasher: RandomState,
    marks: Mutex<Marks>,
}

#[derive(Default)]
struct Marks {
    known: HashMap<u64, Known>,
    /// When each child was led to last, or gave something to carry back.
    children: HashMap<u64, Instant>,
    /// Oldest first, by the use that was the last when the entry was written.
    ages: VecDeque<(Instant, u64)>,
}

struct Known {
    child: u64,
    used: Instant,
}

#[derive(Deserialize)]
struct Carrying<'a> {
    #[serde(borrow, default, rename = "requestState")]
    state: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "taskId")]
    task_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    task: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

impl Affinity {
    /// Notes what the answer of a child gives its client to carry back.
    pub fn note(&self, answer: &[u8], child: u64, now: Instant) {
        if !may_carry(answer) {
            return;
        }
        let result = serde_json::from_slice::<Answer<'_>>(answer).ok();
        let Some(result) = result.and_then(|answer| answer.result) else {
            return;
        };
        let mut marks = self.marks.lock();
        for mark in self.carried(result.get()) {
            marks.forget(now);
            let known = Known { child, used: now };
            marks.lead_to(child, now);
            if marks.known.insert(mark, known).is_none() {
                marks.ages.push_back((now, mark));
            }
        }
    }

    /// The child that the parameters of a request lead to.
    pub fn child_of(&self, params: Option<&str>, now: Instant) -> Option<u64> {
        let params = params.filter(|params| may_carry(params.as_bytes()))?;
        let carried = self.carried(params);
        let mut marks = self.marks.lock();
        carried.into_iter().find_map(|mark| {
            let known = marks.known.get_mut(&mark)?;
            known.used = now;
            let child = known.child;
            marks.lead_to(child, now);
            Some(child)
        })
    }

    /// Whether a client may come back to this child: it gave somebody something to carry, or was led to,
    /// not long ago.
    pub fn is_awaited(&self, child: u64, now: Instant) -> bool {
        let marks = self.marks.lock();
        let used = marks.children.get(&child);
        used.is_some_and(|used| now.saturating_duration_since(*used) < AWAITED)
    }

    /// Forgets a child that is gone.
    pub fn forget(&self, child: u64) {
        self.marks.lock().children.remove(&child);
    }

    /// The marks in an object.
    fn carried(&self, raw: &str) -> Vec<u64> {
        let Some(outer) = carrying(raw) else {
            return Vec::new();
        };
        let task = outer.task.and_then(|task| carrying(task.get())?.task_id);
        let texts = [
            ("state", outer.state),
            ("task", outer.task_id),
            ("task", task),
        ];
        texts
            .into_iter()
            .filter_map(|(kind, raw)| {
                let text: String = serde_json::from_str(raw?.get()).ok()?;
                Some(self.hasher.hash_one((kind, text)))
            })
            .collect()
    }
}

impl Marks {
    /// Notes that a child is awaited from now on; forgets those that are not any more.
    fn lead_to(&mut self, child: u64, now: Instant) {
        if self.children.insert(child, now).is_none() {
            let is_awaited = |used: &Instant| now.saturating_duration_since(*used) < AWAITED;
            self.children.retain(|_, used| is_awaited(used));
        }
    }

    /// Makes room for one.
    fn forget(&mut self, now: Instant) {
        while let Some(&(since, mark)) = self.ages.front() {
            if self.ages.len() < MAX_MARKS && now.duration_since(since) < KEPT {
                return;
            }
            self.ages.pop_front();
            match self.known.get(&mark) {
                // Used since: as old as that.
                Some(known) if known.used > since => self.ages.push_back((known.used, mark)),
                _ => drop(self.known.remove(&mark)),
            }
        }
    }
}

/// Reads an object; a list would be taken for a struct's fields by position.
fn carrying(raw: &str) -> Option<Carrying<'_>> {
    raw.starts_with('{')
        .then(|| serde_json::from_str(raw).ok())
        .flatten()
}

fn may_carry(text: &[u8]) -> bool {
    memmem::find(text, b"requestState").is_some() || memmem::find(text, b"taskId").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn children_that_are_gone_are_forgotten_though_clients_come_back_to_them() {
        let affinity = Affinity::default();
        for child in 0..100 {
            let answer = format!(r#"{{"id":1,"result":{{"taskId":"task-{child}"}}}}"#);
            affinity.note(answer.as_bytes(), child, Instant::now());
            affinity.forget(child);
            let params = format!(r#"{{"taskId":"task-{child}"}}"#);
            let found = affinity.child_of(Some(&params), Instant::now());
            assert_eq!(found, Some(child));
            tokio::time::advance(AWAITED / 10).await;
        }
        let known = affinity.marks.lock().children.len();
        assert!(known <= 10, "{known} are kept");
    }
}
