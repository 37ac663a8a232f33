//! A request that a child has, up to its answer.
//!
//! Promise: one that is lost before its client was told anything is sent again where that is safe, by the same rules
//! whatever brought it here: a POST, a batch, the old transport, a line on standard input.
//! Cost: a few counted references; it is read again only where it is lost.

use bytes::Bytes;

use crate::proxy::backend::Exchange;
use crate::proxy::call::{Call, Manner, Step};
use crate::proxy::state::AppState;
use crate::proxy::wire::{self, Envelope, Fault, Kind};
use crate::sync::Arc;

/// The request.
pub struct Underway {
    call: Call,
    is_told: bool,
    state: Arc<AppState>,
    exchange: Exchange,
}

impl Underway {
    /// Sends a request with this raw id, which is part of the message.
    ///
    /// # Errors
    ///
    /// The last fault of those that it met.
    pub async fn begin(
        state: &Arc<AppState>,
        raw_id: &str,
        message: &Envelope<'_>,
        mut exchange: Exchange,
    ) -> Result<Self, Fault> {
        let begun = send(state, raw_id, message, &mut exchange, None).await;
        begun.map(|call| Self {
            call,
            is_told: false,
            state: state.clone(),
            exchange,
        })
    }

    /// Waits for what the child says next.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped, but for a request that was to be sent again.
    pub async fn step(&mut self) -> Step {
        loop {
            match self.call.step().await {
                Step::Fault(fault) if !self.is_told && !self.is_carried_on() => {
                    match Box::pin(self.again(fault)).await {
                        Ok(call) => self.call = call,
                        Err(fault) => return Step::Fault(fault),
                    }
                }
                step => {
                    self.is_told = true;
                    return step;
                }
            }
        }
    }

    /// The same as the client is to read it, and whether it is the last.
    pub async fn message(&mut self) -> (Bytes, bool) {
        match self.step().await {
            Step::Related(message) => (message, false),
            Step::Answer { message, .. } => (message, true),
            Step::Fault(fault) => {
                let id = self.call.id().as_bytes();
                (fault.to_json(Some(id)).into(), true)
            }
        }
    }

    /// What is left of it, once its client was told something.
    pub fn into_call(self) -> Call {
        self.call
    }

    /// A subscription is sent again behind its call, which ends where that is in vain.
    fn is_carried_on(&self) -> bool {
        self.exchange.manner == Manner::Listening
    }

    async fn again(&mut self, fault: Fault) -> Result<Call, Fault> {
        let body = self.exchange.body.clone();
        let Ok(message) = wire::parse(&body) else {
            return Err(fault);
        };
        let Kind::Request { id, .. } = &message.kind else {
            return Err(fault);
        };
        send(&self.state, id, &message, &mut self.exchange, Some(fault)).await
    }
}

/// Sends a request, as often as that is safe; `lost`: what became of it before.
async fn send(
    state: &AppState,
    raw_id: &str,
    message: &Envelope<'_>,
    exchange: &mut Exchange,
    mut lost: Option<Fault>,
) -> Result<Call, Fault> {
    loop {
        if let Some(fault) = lost {
            // A subscription that begins after the others were told of the end would not be told.
            let is_late = exchange.manner == Manner::Listening && state.is_closing();
            if is_late || !state.backend.take_retry(message, exchange, &fault) {
                return Err(fault);
            }
        }
        match state.backend.call(raw_id, message, exchange).await {
            Ok(call) => return Ok(call),
            Err(fault) => lost = Some(fault),
        }
    }
}

#[cfg(test)]
#[path = "underway_tests.rs"]
mod tests;
