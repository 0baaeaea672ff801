//! The streams that a script describes.

use std::cell::Cell;
use std::rc::Rc;

use crate::transform::StreamStage;

/// A stream as the script describes it. It is made when the top level has ended, so that a help
/// text or a VM for hooks reads no document.
pub(super) struct StreamPlan {
    pub kind: PlanKind,
    /// The number of stages and merges between a document and the end of the stream.
    depth: usize,
}

pub(super) enum PlanKind {
    Document { path: String, place: Rc<str> },
    Transformed { input: Rc<StreamPlan>, stages: Vec<PlacedStage> },
    Merged { inputs: Vec<(String, Rc<StreamPlan>)>, join: bool, place: Rc<str> },
}

impl StreamPlan {
    pub fn document(path: String, place: Rc<str>) -> StreamPlan {
        StreamPlan { kind: PlanKind::Document { path, place }, depth: 1 }
    }

    pub fn transformed(input: Rc<StreamPlan>, stages: Vec<PlacedStage>) -> StreamPlan {
        let depth = input.depth + stages.len();
        StreamPlan { kind: PlanKind::Transformed { input, stages }, depth }
    }

    pub fn merged(inputs: Vec<(String, Rc<StreamPlan>)>, join: bool, place: Rc<str>) -> StreamPlan {
        let depth = 1 + inputs.iter().map(|(_, plan)| plan.depth).max().unwrap_or(0);
        StreamPlan { kind: PlanKind::Merged { inputs, join, place }, depth }
    }

    pub fn depth(&self) -> usize {
        self.depth
    }
}

/// A stage, and the beginning of an error about it.
#[derive(Clone)]
pub(super) struct PlacedStage {
    pub stage: Rc<dyn StreamStage>,
    pub place: Rc<str>,
}

/// A stream that the script has made.
pub(super) struct DeclaredStream {
    pub plan: Rc<StreamPlan>,
    /// Whether another stream is made of it. If not, the script runs it.
    pub is_used: Cell<bool>,
}
