//! Models of the roster: the thread learns late, and numbers of descriptors are used again.

use super::kernel::Kernel;
use crate::sync::story::{Builder, thread};
use crate::sync::{Arc, AtomicU32, Mutex, Ordering};
use crate::watch::roster::{Mark, Roster};

/// One number for all descriptors: each that is opened has that of the one closed before.
const FD: i32 = 7;

/// 1: raised.
type Alarm = Arc<AtomicU32>;

struct Station {
    roster: Roster<Alarm>,
    kernel: Kernel,
}

fn model(story: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(story);
}

fn alarm() -> Alarm {
    Arc::new(AtomicU32::new(0))
}

fn watch(station: &Mutex<Station>, alarm: &Alarm) -> Mark {
    let mut place = station.lock();
    let Station { roster, kernel } = &mut *place;
    let (mark, old, _) = roster.add(FD, Alarm::clone(alarm));
    roster.introduce(1, kernel);
    drop(place);
    drop(old);
    mark
}

fn unwatch(station: &Mutex<Station>, mark: Mark) {
    let mut place = station.lock();
    let Station { roster, kernel } = &mut *place;
    let ended = roster.remove(mark, kernel);
    drop(place);
    drop(ended);
}

/// As the thread does with an event.
fn hear(station: &Mutex<Station>, mark: Mark) {
    let found = station.lock().roster.find(mark);
    if let Some(alarm) = found {
        // Relaxed: read after joins.
        alarm.store(1, Ordering::Relaxed);
        unwatch(station, mark);
    }
}

fn station() -> Arc<Mutex<Station>> {
    Arc::new(Mutex::new(Station {
        roster: Roster::new(),
        kernel: Kernel::default(),
    }))
}

/// Would catch: an event of a connection that was retired raises the alarm of the one that got its
/// descriptor's number, or ends its watch. Planted (events and ends go by the number alone) and seen.
#[test]
fn retire_and_reuse_against_a_late_event() {
    model(|| {
        let (station, old, new) = (station(), alarm(), alarm());
        let first = watch(&station, &old);
        let hearing = {
            let station = Arc::clone(&station);
            thread::spawn(move || hear(&station, first))
        };
        unwatch(&station, first);
        // Closed only after that; here the next one is opened.
        assert!(station.lock().kernel.heard.is_empty(), "closed while heard");
        let second = watch(&station, &new);
        hearing.join().unwrap();
        assert_eq!(
            new.load(Ordering::Relaxed),
            0,
            "an alarm that was not its own"
        );
        let place = station.lock();
        assert_eq!(
            place.kernel.heard.get(&FD),
            Some(&second),
            "its watch was ended"
        );
        assert_eq!(place.roster.len(), 1);
    });
}

/// Would catch: a connection that is cold again is watched anew while an event of its old watch is
/// under way, and ends up with no watch.
#[test]
fn watch_anew_against_an_event_of_the_old_watch() {
    model(|| {
        let (station, old, new) = (station(), alarm(), alarm());
        let first = watch(&station, &old);
        let hearing = {
            let station = Arc::clone(&station);
            thread::spawn(move || hear(&station, first))
        };
        let second = watch(&station, &new);
        unwatch(&station, first);
        hearing.join().unwrap();
        let place = station.lock();
        assert_eq!(place.kernel.heard.get(&FD), Some(&second));
        assert_eq!(place.roster.len(), 1);
    });
}
