//! The stage `sample`: a random part of a stream.

use std::rc::Rc;

use super::nominal_time::NominalTime;
use super::open_handles::{HandleUse, OpenHandles, handle_use};
use super::per_client::{OperationChange, per_client};
use super::stream::{OperationStream, StagePlace, StreamStage, TransformError};
use crate::ir::random::RandomNumbers;
use crate::ir::{Operation, Section};

/// Keeps a random part of the iterations' operations: whole sequences from an open to its close,
/// and operations by path each by itself. Setup and teardown stay whole. The time of an operation
/// that remains does not change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleStage {
    /// The probability with which a sequence is kept, from 0 to 1.
    pub fraction: f64,
}

impl StreamStage for SampleStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let (fraction, facts) = (self.fraction, input.facts().clone());
        let random = place.clone();
        Ok(per_client(input, facts, place, move |client| {
            Box::new(ClientSample {
                fraction,
                random: random.random(client),
                section: Section::Setup,
                dropped: OpenHandles::default(),
                time: NominalTime::default(),
            })
        }))
    }
}

struct ClientSample {
    fraction: f64,
    random: RandomNumbers,
    section: Section,
    /// The open handles whose open was dropped.
    dropped: OpenHandles<()>,
    time: NominalTime,
}

impl ClientSample {
    fn keeps(&mut self, operation: &Operation) -> bool {
        let of_iteration = self.section == Section::Iteration;
        match handle_use(operation) {
            HandleUse::On(handle) => self.dropped.get(handle).is_none(),
            HandleUse::Close(handle) => self.dropped.close(handle).is_none(),
            _ if !of_iteration => true,
            HandleUse::None => self.random.float() < self.fraction,
            HandleUse::Open(handle) => {
                let kept = self.random.float() < self.fraction;
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
        self.time = NominalTime::default();
    }

    fn change(&mut self, operation: &mut Operation) -> Result<bool, String> {
        self.time.see(operation);
        let kept = self.keeps(operation);
        if kept {
            self.time.keep(operation);
        } else {
            self.time.skip(operation);
        }
        Ok(kept)
    }
}
