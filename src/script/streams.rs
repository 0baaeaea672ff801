//! The streams that a script makes of documents.

use std::collections::HashMap;
use std::rc::Rc;

use super::error::ScriptError;
use super::given_parameters::GivenParameters;
use super::host::ScriptHost;
use super::options::ScriptOptions;
use super::project_files::FileOfScript;
use super::stream_plan::{PlacedStage, PlanKind, StreamPlan};
use crate::ir::document::{LoadOptions, load_opened};
use crate::transform::{
    DocumentStream, MergeInput, OperationStream, StagePlace, TransformError, merge,
};

/// Makes the streams of a script, and counts their stages.
pub(super) struct StreamBuilder<'b> {
    pub host: &'b ScriptHost,
    pub options: &'b ScriptOptions,
    /// The number of stages so far.
    stages: u32,
    /// The streams that were made, by the address of their plan. A plan may be a part of several.
    made: HashMap<*const StreamPlan, Rc<dyn OperationStream>>,
    /// The path and the hash of each document.
    pub documents: Vec<(String, String)>,
}

impl<'b> StreamBuilder<'b> {
    pub fn new(host: &'b ScriptHost, options: &'b ScriptOptions) -> StreamBuilder<'b> {
        StreamBuilder { host, options, stages: 0, made: HashMap::new(), documents: Vec::new() }
    }

    /// Makes one stream of all that the script runs.
    ///
    /// # Errors
    /// [`ScriptError`] if a document cannot be loaded, or a stage not be applied.
    pub fn all(
        &mut self,
        plans: &[Rc<StreamPlan>],
    ) -> Result<Option<Rc<dyn OperationStream>>, ScriptError> {
        if plans.is_empty() {
            return Ok(None);
        }
        let mut inputs = Vec::with_capacity(plans.len());
        for plan in plans {
            inputs.push(MergeInput { name: None, stream: self.stream(plan)? });
        }
        let place = self.next_place("the streams of the script".into());
        merge(inputs, false, place).map(Some).map_err(refused)
    }

    fn stream(&mut self, plan: &Rc<StreamPlan>) -> Result<Rc<dyn OperationStream>, ScriptError> {
        let key = Rc::as_ptr(plan);
        if let Some(stream) = self.made.get(&key) {
            return Ok(Rc::clone(stream));
        }
        let stream = self.new_stream(plan)?;
        self.made.insert(key, Rc::clone(&stream));
        Ok(stream)
    }

    fn new_stream(&mut self, plan: &StreamPlan) -> Result<Rc<dyn OperationStream>, ScriptError> {
        match &plan.kind {
            PlanKind::Document { path, place } => self.document(path, place),
            PlanKind::Transformed { input, stages } => {
                let mut stream = self.stream(input)?;
                for PlacedStage { stage, place } in stages {
                    let place = self.next_place(Rc::clone(place));
                    stream = stage.apply(stream, place).map_err(refused)?;
                }
                Ok(stream)
            }
            PlanKind::Merged { inputs, join, place } => {
                let mut merged = Vec::with_capacity(inputs.len());
                for (name, plan) in inputs {
                    merged
                        .push(MergeInput { name: Some(name.clone()), stream: self.stream(plan)? });
                }
                let place = self.next_place(Rc::clone(place));
                merge(merged, *join, place).map_err(refused)
            }
        }
    }

    fn next_place(&mut self, name: Rc<str>) -> StagePlace {
        let number = self.stages;
        self.stages += 1;
        StagePlace { name, seed: self.options.seed.unwrap_or(0), number }
    }

    fn document(
        &mut self,
        path: &str,
        place: &str,
    ) -> Result<Rc<dyn OperationStream>, ScriptError> {
        let project = &self.host.project;
        let file = FileOfScript::new(project, &GivenParameters::of(self.options)?, path);
        file.note_in(&self.options.reads, project);
        let load_options = LoadOptions {
            strict: self.options.strict,
            blob_directories: self.options.blob_directories.clone(),
        };
        let read = || {
            let opened = file.open(project, "load")?;
            let document = load_opened(opened, &file.shown, &load_options);
            for warning in document.iter().flat_map(|document| document.warnings()) {
                tracing::warn!("{}: {warning}", file.shown.display());
            }
            document.map_err(|error| error.to_string())
        };
        let document = self.options.documents.file(file.given, &file.shown, read);
        let document =
            document.map_err(|problem| ScriptError::Script(format!("{place}: {problem}")))?;
        self.documents.push((path.to_string(), document.header().ir_hash.clone()));
        Ok(Rc::new(DocumentStream::new(document)))
    }
}

fn refused(error: TransformError) -> ScriptError {
    ScriptError::Script(error.to_string())
}
