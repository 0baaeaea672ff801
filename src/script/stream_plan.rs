//! The streams that a script describes.

use std::cell::Cell;
use std::rc::Rc;

use crate::transform::StreamStage;

/// A stream as the script describes it. It is made when the top level has ended, so that a help
/// text or a VM for hooks reads no document.
pub(super) enum StreamPlan {
    Document { path: String, place: Rc<str> },
    Transformed { input: Rc<StreamPlan>, stages: Vec<PlacedStage> },
    Merged { inputs: Vec<(String, Rc<StreamPlan>)>, join: bool, place: Rc<str> },
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
