//! The stage `time_warp`: a stream at another speed.

use std::rc::Rc;

use super::per_client::{ClientTransform, OperationChange, per_client};
use super::stream::{
    ClientReader, OperationStream, Origin, StagePlace, StreamFacts, StreamStage, TransformError,
};
use crate::ir::{Operation, Section, scale_ns};

/// The factors that are possible.
const FACTORS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Makes every time of the iterations `factor` times as long: 0.5 is twice the speed. Phases are
/// scaled too; setup and teardown are not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeWarpStage {
    /// Between 0.000001 and 1,000,000, also together with the factors of stages right before.
    pub factor: f64,
}

impl StreamStage for TimeWarpStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        warped(input, self.factor, place)
    }
}

/// A stream that was warped. A second warp of it reads its input with the product of both factors,
/// so that a factor and its inverse leave every time as it was.
struct Warped {
    input: Rc<dyn OperationStream>,
    factor: f64,
    stream: Rc<dyn OperationStream>,
}

fn warped(
    input: Rc<dyn OperationStream>,
    factor: f64,
    place: StagePlace,
) -> Result<Rc<dyn OperationStream>, TransformError> {
    let (input, factor) = match input.warp() {
        Some((input, before)) => (input, exact(factor * before)),
        None => (input, factor),
    };
    if !(FACTORS.contains(&factor)) {
        return Err(place.refuse(format!(
            "the factors of this stage and those before it make {factor}; it is to be between {} and {}",
            FACTORS.start(),
            FACTORS.end()
        )));
    }
    let mut facts = input.facts().clone();
    facts.length_ns = scale_ns(facts.length_ns, factor);
    for phase in &mut facts.header.phases {
        phase.duration_ns = scale_ns(phase.duration_ns, factor).max(1);
    }
    let begin = move |_| -> Box<dyn ClientTransform> {
        Box::new(ClientWarp { factor, section: Section::Setup })
    };
    let stream = per_client(Rc::clone(&input), facts, place, begin);
    Ok(Rc::new(Warped { input, factor, stream }))
}

/// Returns 1 for the product of a factor and its inverse, which are both rounded.
fn exact(product: f64) -> f64 {
    if (product - 1.0).abs() <= 2.0 * f64::EPSILON { 1.0 } else { product }
}

impl OperationStream for Warped {
    fn facts(&self) -> &StreamFacts {
        self.stream.facts()
    }

    fn reader(&self, client: u32) -> Box<dyn ClientReader> {
        self.stream.reader(client)
    }

    fn origin(&self, client: u32) -> Option<Origin> {
        self.input.origin(client)
    }

    fn warp(&self) -> Option<(Rc<dyn OperationStream>, f64)> {
        Some((Rc::clone(&self.input), self.factor))
    }
}

struct ClientWarp {
    factor: f64,
    section: Section,
}

impl OperationChange for ClientWarp {
    fn enter_section(&mut self, section: Section) {
        self.section = section;
    }

    fn change(&mut self, operation: &mut Operation) -> Result<bool, String> {
        if self.section == Section::Iteration {
            operation.due = operation.due.scaled(self.factor);
        }
        Ok(true)
    }
}
