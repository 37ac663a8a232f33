//! Requests under way, and who learns what of the session when.

use super::*;
use crate::proxy::remote::tests::core;
use crate::transport::{Death, LineSink};

/// Notes whether its session was over when it was told of a fault.
struct Told {
    core: Arc<Core>,
    was_over: Mutex<Option<bool>>,
}

impl LineSink for Told {
    fn on_line(&self, _: Bytes) {}

    fn on_death(&self, _: &Death) {}
}

impl PeerSink for Told {
    fn on_fault(&self, _: &RequestId, _: Fault) {
        *self.was_over.lock() = Some(self.core.is_over());
    }

    fn on_over(&self, _: &str) {}
}

/// A request under way, which no task is at work on.
fn place(core: &Arc<Core>, serial: u64) -> Place {
    let id = RequestId::Integer(1);
    let running = Running {
        serial,
        ends_by_leaving: false,
        task: None,
        waits: None,
    };
    core.state.lock().running.insert(id.clone(), running);
    let core = core.clone();
    Place { core, id, serial }
}

#[tokio::test]
async fn who_is_told_that_its_session_is_not_known_finds_it_over() {
    let core = core();
    let told = Arc::new(Told {
        core: core.clone(),
        was_over: Mutex::default(),
    });
    core.attach(told.clone());
    ask::forgotten(&place(&core, 1));
    assert_eq!(*told.was_over.lock(), Some(true), "it is sent elsewhere");
}

#[tokio::test]
async fn a_request_that_was_given_up_takes_no_answer_from_the_next_one_with_its_id() {
    let core = core();
    let (earlier, next) = (place(&core, 1), place(&core, 2));
    let answered = next.answered();
    drop(earlier.answered());
    core.answered(&next.id);
    assert_eq!(answered.await, Ok(()));
}
