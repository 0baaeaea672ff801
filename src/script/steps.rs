//! The steps that a client is in while its stream is made.

use std::sync::Arc;

use crate::ir::Step;
use crate::ir::step::StepError;

/// The steps that a client is in. They end with their iteration, setup or teardown.
#[derive(Debug, Default)]
pub(super) struct OpenSteps {
    /// The outer step and the inner one. There is no inner step without an outer one.
    open: [Option<OpenStep>; 2],
    /// Number of steps that the present iteration, setup or teardown has begun.
    begun: u32,
    calls: u64,
}

#[derive(Debug)]
struct OpenStep {
    call: StepCall,
    step: Arc<Step>,
}

/// A call of `c:step`, which is unlike every other call for the same client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepCall(pub u64);

impl OpenSteps {
    /// Begins a step inside those that are open.
    ///
    /// # Errors
    /// [`StepError::TooDeep`].
    pub fn begin(&mut self, name: Arc<str>) -> Result<StepCall, StepError> {
        let (place, outer) = match &self.open {
            [None, _] => (0, None),
            [Some(outer), None] => (1, Some(Arc::clone(&outer.step))),
            [Some(outer), Some(inner)] => {
                return Err(StepError::TooDeep {
                    name: name.to_string(),
                    inner: inner.step.name.to_string(),
                    outer: outer.step.name.to_string(),
                });
            }
        };
        let (call, number) = (StepCall(self.calls), self.begun);
        self.calls += 1;
        self.begun = self.begun.wrapping_add(1);
        self.open[place] = Some(OpenStep { call, step: Arc::new(Step { name, number, outer }) });
        Ok(call)
    }

    /// Ends the step that this call began, if it has not ended. With coroutines, an outer step can
    /// end before its inner one.
    pub fn end(&mut self, call: StepCall) {
        let began = |open: &Option<OpenStep>| open.as_ref().is_some_and(|open| open.call == call);
        if let Some(at) = self.open.iter().position(began) {
            self.open[at..].rotate_left(1);
            self.open[1] = None;
        }
    }

    /// Ends all steps, because another iteration, or teardown, begins.
    pub fn start_over(&mut self) {
        (self.open, self.begun) = ([None, None], 0);
    }

    /// Returns the innermost open step.
    pub fn innermost(&self) -> Option<&Arc<Step>> {
        let [outer, inner] = &self.open;
        inner.as_ref().or(outer.as_ref()).map(|open| &open.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn innermost(steps: &OpenSteps) -> Option<(&str, u32)> {
        steps.innermost().map(|step| (&*step.name, step.number))
    }

    #[test]
    fn steps_end_in_any_order_and_none_ends_twice() {
        let mut steps = OpenSteps::default();
        let [a, b] = ["a", "b"].map(|name| steps.begin(name.into()).unwrap());
        assert_eq!(innermost(&steps), Some(("b", 1)));
        steps.end(a);
        assert_eq!(innermost(&steps), Some(("b", 1)));
        steps.end(a);
        assert_eq!(innermost(&steps), Some(("b", 1)));
        let c = steps.begin("c".into()).unwrap();
        assert_eq!(innermost(&steps), Some(("c", 2)));
        steps.end(c);
        steps.end(b);
        assert_eq!(innermost(&steps), None);
    }

    #[test]
    fn a_call_of_an_earlier_iteration_ends_no_step_of_a_later_one() {
        let mut steps = OpenSteps::default();
        let first = steps.begin("a".into()).unwrap();
        steps.start_over();
        assert_eq!(innermost(&steps), None);
        steps.begin("a".into()).unwrap();
        steps.end(first);
        assert_eq!(innermost(&steps), Some(("a", 0)));
    }
}
