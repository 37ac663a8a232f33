//! The place of the sink, without a child.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::sync::{Arc, Mutex};
use crate::transport::subprocess::sink::{Current, SinkSlot, Waiting};
use crate::transport::{Death, LineSink};

#[derive(Default)]
struct Deaths(Mutex<Vec<Death>>);

impl LineSink for Deaths {
    fn on_line(&self, _: Bytes) {}

    fn on_death(&self, death: &Death) {
        self.0.lock().push(*death);
    }
}

#[test]
fn end_is_told_once_and_to_whoever_comes_later_at_once() {
    let (slot, there, late) = (
        SinkSlot::default(),
        Arc::<Deaths>::default(),
        Arc::<Deaths>::default(),
    );
    slot.attach(there.clone());
    slot.end(Death::StdoutClosed);
    slot.end(Death::Retired);
    slot.attach(late.clone());
    assert_eq!(*there.0.lock(), [Death::StdoutClosed]);
    assert_eq!(*late.0.lock(), [Death::StdoutClosed]);
}

#[test]
fn answer_reaches_the_one_that_waits_and_nobody_after_it() {
    let slot = SinkSlot::default();
    let (answer, mut waits) = oneshot::channel();
    slot.wait(Waiting { json: true, answer });
    assert!(matches!(slot.current(), Current::Request { json: true }));
    assert!(slot.answer(Bytes::from_static(b"{}")));
    assert!(!slot.answer(Bytes::from_static(b"late")));
    assert_eq!(waits.try_recv().unwrap(), "{}");
    assert!(matches!(slot.current(), Current::Nobody));
}

#[test]
fn request_after_the_end_is_not_kept_waiting() {
    let slot = SinkSlot::default();
    slot.end(Death::Retired);
    let (answer, mut waits) = oneshot::channel();
    slot.wait(Waiting {
        json: false,
        answer,
    });
    assert_eq!(waits.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}
