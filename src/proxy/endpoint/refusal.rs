//! A fault on its way to the client, with the id that it answers.

use hyper::StatusCode;

use crate::proxy::http::{self, Reply};
use crate::proxy::wire::{Fault, RawId};

/// Why a request is not served.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong.
    pub fault: Fault,
    /// The request's id, where it was read.
    pub id: Option<RawId>,
    /// The status of the reply: that of the fault, unless the revision has another one.
    pub status: StatusCode,
}

impl Refusal {
    /// A fault that answers the request with this id.
    pub fn of(fault: Fault, id: &RawId) -> Self {
        Self {
            id: Some(id.clone()),
            ..Self::from(fault)
        }
    }

    /// The reply that says so.
    pub fn to_reply(&self) -> Reply {
        let mut reply = http::fault(&self.fault, self.id.as_ref().map(RawId::as_bytes));
        *reply.status_mut() = self.status;
        reply
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self {
            status: fault.status(),
            fault,
            id: None,
        }
    }
}
