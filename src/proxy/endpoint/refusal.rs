//! A fault on its way to the client, with the id that it answers.

use crate::proxy::http::{self, Reply};
use crate::proxy::wire::{Fault, RawId};

/// Why a request is not served.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong.
    pub fault: Fault,
    /// The request's id, where it was read.
    pub id: Option<RawId>,
}

impl Refusal {
    /// A fault that answers the request with this id.
    pub fn of(fault: Fault, id: &RawId) -> Self {
        Self {
            fault,
            id: Some(id.clone()),
        }
    }

    /// The reply that says so.
    pub fn to_reply(&self) -> Reply {
        http::fault(&self.fault, self.id.as_ref().map(RawId::as_bytes))
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, id: None }
    }
}
