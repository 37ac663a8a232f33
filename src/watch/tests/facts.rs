//! What the roster does, one thread at a time.

use super::kernel::Kernel;
use crate::watch::roster::Roster;

#[test]
fn an_event_finds_its_watch_and_no_later_one() {
    let (mut roster, mut kernel) = (Roster::new(), Kernel::default());
    let (old, none, _) = roster.add(7, "old");
    assert!(none.is_none());
    roster.introduce(1, &mut kernel);
    assert_eq!(roster.find(old), Some("old"));
    let (new, replaced, _) = roster.add(7, "new");
    assert_eq!(replaced, Some("old"));
    assert_eq!((roster.find(old), roster.find(new)), (None, Some("new")));
    assert_eq!(roster.remove(old, &mut kernel), None, "ended long ago");
    assert_eq!(roster.find(new), Some("new"));
}

#[test]
fn the_kernel_forgets_what_it_knew_and_is_not_asked_otherwise() {
    let (mut roster, mut kernel) = (Roster::new(), Kernel::default());
    let (mark, ..) = roster.add(7, ());
    roster.remove(mark, &mut kernel);
    assert_eq!(kernel.calls, 0, "it was never told");
    roster.add(7, ());
    roster.introduce(9, &mut kernel);
    // A new one of a number that the kernel knows, not yet introduced.
    let (mark, ..) = roster.add(7, ());
    roster.remove(mark, &mut kernel);
    assert!(kernel.heard.is_empty());
    assert!(roster.is_empty() && !roster.has_pending());
}

#[test]
fn what_the_kernel_refuses_is_not_watched() {
    let (mut roster, mut kernel) = (Roster::new(), Kernel::default());
    kernel.refuses = true;
    roster.add(7, "alarm");
    assert_eq!(roster.introduce(9, &mut kernel), ["alarm"]);
    assert!(roster.is_empty());
}

#[test]
fn the_first_that_is_pending_calls_the_thread() {
    let (mut roster, mut kernel) = (Roster::new(), Kernel::default());
    let calls = [7, 8, 9].map(|fd| roster.add(fd, ()).2);
    assert_eq!(calls, [true, false, false]);
    roster.introduce(2, &mut kernel);
    assert!(roster.has_pending());
    roster.introduce(2, &mut kernel);
    assert!(!roster.has_pending());
    assert!(roster.add(10, ()).2);
    assert_eq!(kernel.heard.len(), roster.len() - 1);
}
