//! What meters make of readings.

use super::{COUNTERS, Told};

#[test]
fn a_reading_that_missed_something_counts_nothing_twice() {
    let before = Told {
        counters: [7; COUNTERS.len()],
        gauges: [3; 7],
        ended: 5,
        long_holds: 1,
    };
    let behind = Told {
        counters: [6; COUNTERS.len()],
        gauges: [2; 7],
        ended: 4,
        long_holds: 1,
    };
    let now = behind.not_below(&before);
    assert_eq!((now.counters, now.ended), (before.counters, before.ended));
    // A gauge is as it is read.
    assert_eq!(now.gauges, [2; 7]);
    let ahead = Told {
        counters: [9; COUNTERS.len()],
        ended: 8,
        ..before
    };
    let now = ahead.not_below(&before);
    assert_eq!((now.counters, now.ended), ([9; COUNTERS.len()], 8));
}
