//! The stage `sample`: a random part of a stream.

use std::rc::Rc;

use super::open_handles::{HandleUse, OpenHandles, handle_use};
use super::per_client::{OperationChange, per_client};
use super::stream::{OperationStream, StagePlace, StreamStage, TransformError};
use super::think_time::ThinkTime;
use crate::ir::random::RandomNumbers;
use crate::ir::{Operation, Section};

/// Keeps a random share of the iterations' operations: whole sequences from an open to its close,
/// and operations by path each by itself. Setup and teardown stay whole. The time of an operation
/// that remains does not change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleStage {
    /// The probability with which a sequence is kept, from 0 to 1.
    pub share: f64,
}

impl StreamStage for SampleStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let (share, facts) = (self.share, input.facts().clone());
        let random = place.clone();
        Ok(per_client(input, facts, place, move |client| {
            Box::new(ClientSample {
                share,
                random: random.random(client),
                section: Section::Setup,
                dropped: OpenHandles::default(),
                time: ThinkTime::default(),
            })
        }))
    }
}

struct ClientSample {
    share: f64,
    random: RandomNumbers,
    section: Section,
    /// The open handles whose open was dropped.
    dropped: OpenHandles<()>,
    time: ThinkTime,
}

impl ClientSample {
    fn keeps(&mut self, operation: &Operation) -> bool {
        let of_iteration = self.section == Section::Iteration;
        match handle_use(operation) {
            HandleUse::On(handle) => self.dropped.get(handle).is_none(),
            HandleUse::Close(handle) => self.dropped.close(handle).is_none(),
            _ if !of_iteration => true,
            HandleUse::None => self.random.float() < self.share,
            HandleUse::Open(handle) => {
                let kept = self.random.float() < self.share;
                if !kept {
                    self.dropped.open(handle, ());
                }
                kept
            }
        }
    }
}

impl OperationChange for ClientSample {
    fn enter_section(&mut self, section: Section) {
        self.section = section;
        self.time = ThinkTime::default();
    }

    fn change(&mut self, operation: &mut Operation) -> Result<bool, String> {
        self.time.see(operation);
        let kept = self.keeps(operation);
        if kept {
            self.time.keep(operation);
        } else {
            self.time.drop(operation);
        }
        Ok(kept)
    }
}
