//! The input of a run: a script or a document.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::settings::Settings;
use crate::ir::document::{self, Document, LoadOptions};
use crate::ir::scale_ns;
use crate::ir::units::nanoseconds;
use crate::ir::{ClientPartition, Continued, OperationSource, Preview, StreamHeader, TimeScale};
use crate::observability::text::printable;
use crate::scheduler::feed::SourceThreads;
use crate::script::{
    self, CheckError, Depth, ReadFiles, Reload, Script, ScriptLocation, ScriptOptions,
};
use crate::transform::{
    DocumentStream, OperationStream, PathTemplate, RepeatStreamStage, ScaleClientsStage,
    StagePlace, StreamStage, TransformError, TransformedSource,
};

/// Longest part of a path in a line of progress, in characters.
const MAX_PATH_CHARS: usize = 100;

/// A script or a document, as the command line names it.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a command has one input, and few copies of it")]
pub enum Input {
    Script(ScriptOptions),
    Document {
        path: PathBuf,
        options: LoadOptions,
        /// The seed of payload patterns, in place of the document's own.
        seed: Option<u64>,
        scaling: DocumentScaling,
        /// The generation that the document is loaded for while a run goes on; None for the first
        /// one.
        reload: Option<Reload>,
        /// The files that loading the document has read.
        reads: ReadFiles,
    },
}

/// A document that is run by more clients than it has, or several times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DocumentScaling {
    /// The number of clients. Those beyond the document's own are clones of them.
    pub clients: Option<u32>,
    /// The number of times that each client does its iterations.
    pub iterations: Option<u32>,
}

impl DocumentScaling {
    /// Returns the scaled document. Its clients and its ids are those of the stages
    /// `scale_clients` and `repeat_stream`.
    ///
    /// # Errors
    /// [`TransformError`] if there are to be fewer clients than the document has.
    pub fn apply(self, document: &Document) -> Result<TransformedSource, TransformError> {
        let checked = document.checked();
        let mut stream: Rc<dyn OperationStream> = Rc::new(DocumentStream::new(Arc::clone(checked)));
        let seed = document.header().seed;
        if let Some(times) = self.iterations {
            let place = StagePlace { name: "--iterations".into(), seed, number: 0 };
            stream = RepeatStreamStage { times, period_ns: None }.apply(stream, place)?;
        }
        if let Some(to) = self.clients {
            let place = StagePlace { name: "--clients".into(), seed, number: 1 };
            let path = PathTemplate::new(ScaleClientsStage::PATH).map_err(TransformError)?;
            stream = ScaleClientsStage { to, jitter_ns: 0, path }.apply(stream, place)?;
        }
        let mut recipe = blake3::Hasher::new();
        recipe.update(format!("smbench scaling 1 {self:?} ").as_bytes());
        recipe.update(document.header().ir_hash.as_bytes());
        let mut source = TransformedSource::new(stream);
        source.set_ir_hash(format!("recipe:{}", recipe.finalize().to_hex()));
        Ok(source)
    }
}

/// An open input: its header is known, and threads are ready to make its operations.
pub struct Stream {
    pub header: StreamHeader,
    pub sources: SourceThreads,
}

impl Input {
    /// Makes the first operations of a script as `validate` does, of the same clients, so that
    /// errors in them are found before a connection is made, and on any number of threads. A
    /// document is checked when it is opened.
    ///
    /// # Errors
    /// See [`script::check`].
    pub fn check(&self, time_scale: f64, duration: Option<Duration>) -> Result<(), CheckError> {
        let Input::Script(options) = self.lasting(time_scale, duration) else { return Ok(()) };
        let depth = if options.reload.is_some() { Depth::RELOAD } else { Depth::QUICK };
        let quiet = ScriptOptions { quiet: true, ..options.clone() };
        let checked = script::check(&quiet, depth);
        // The run prints what the script prints. If the check fails there is no run, and the
        // printed lines may show how the script came to its error.
        let checked = checked.or_else(|_| script::check(&options, depth));
        checked.map(drop)
    }

    /// Returns the input for a run that is to last `duration`.
    fn lasting(&self, time_scale: f64, duration: Option<Duration>) -> Input {
        let mut input = self.clone();
        if let Input::Script(options) = &mut input {
            // This duration is in the script's own time, which is scaled later.
            options.duration_ns =
                duration.map(|duration| scale_ns(nanoseconds(duration), 1.0 / time_scale));
        }
        input
    }

    /// Returns the input for a later generation of a run. It is read anew, with nothing that earlier
    /// generations have read.
    pub fn for_generation(&self, reload: Reload) -> Input {
        let mut input = self.clone();
        match &mut input {
            Input::Script(options) => options.begin_generation(reload),
            Input::Document { reload: of_document, reads, .. } => {
                *of_document = Some(reload);
                *reads = ReadFiles::default();
            }
        }
        input
    }

    /// Takes over the parameters of the profile.
    ///
    /// # Errors
    /// The profile has parameters, and the input is a document.
    pub fn take_parameters_of(&mut self, settings: &Settings) -> anyhow::Result<()> {
        match (self, settings.params.first()) {
            (Input::Script(options), _) => options.profile_params = settings.params.clone(),
            (Input::Document { .. }, None) => {}
            (Input::Document { path, .. }, Some(first)) => anyhow::bail!(
                "{}: profile {} sets parameters, and {} is a document, which has none: name the script, or a profile without parameters",
                first.place,
                first.profile,
                path.display()
            ),
        }
        Ok(())
    }

    /// Returns the files that loading the input has read or has tried to read so far, also if it
    /// failed. A change of one of them may change the stream.
    pub fn reads(&self) -> &ReadFiles {
        match self {
            Input::Script(options) => &options.reads,
            Input::Document { reads, .. } => reads,
        }
    }

    /// Returns the file that it is in. A ready workload is in none.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Input::Script(options) => match &options.location {
                ScriptLocation::File(path) => Some(path.clone()),
                ScriptLocation::Ready(_) => None,
            },
            Input::Document { path, .. } => Some(path.clone()),
        }
    }

    /// Returns the script's location or the document's path, as the user gave it.
    pub fn location(&self) -> String {
        match self {
            Input::Script(options) => options.location.to_string(),
            Input::Document { path, .. } => path.display().to_string(),
        }
    }

    /// Returns the location as lines of progress show it.
    pub fn name(&self) -> String {
        printable(&self.location(), MAX_PATH_CHARS)
    }

    /// Loads the script, or reads and checks the whole document. Times of the stream are scaled
    /// by `time_scale`. `duration` is the length that the run should have. If a script declares
    /// phases, they are scaled to it.
    ///
    /// A script's operations are made on up to `generators` threads, each of which runs the top
    /// level. A document's operations are read on one thread, because they are in one file, and
    /// because reading is many times faster than making them.
    ///
    /// # Errors
    /// The input is invalid. The error says what is wrong, and where.
    pub fn open(
        &self,
        time_scale: f64,
        duration: Option<Duration>,
        generators: u32,
    ) -> anyhow::Result<Stream> {
        let input = self.lasting(time_scale, duration);
        let threads = if matches!(self, Input::Script(_)) { generators } else { 1 };
        let open = move |partition| input.load(time_scale, partition);
        let (mut header, sources) =
            SourceThreads::start(threads, open).map_err(|error| anyhow::anyhow!(error))?;
        if let Input::Document { path, seed, .. } = self {
            header.seed = seed.unwrap_or(header.seed);
            if header.source.is_empty() {
                header.source = path.file_name().unwrap_or_default().to_string_lossy().into();
            }
        }
        Ok(Stream { header, sources })
    }

    /// Opens the input once more, to read its operations ahead of the run on this thread. Prints
    /// nothing that opening it has printed already.
    ///
    /// # Errors
    /// The input is invalid.
    pub fn open_again(
        &self,
        time_scale: f64,
        duration: Option<Duration>,
    ) -> anyhow::Result<Box<dyn OperationSource>> {
        match self.lasting(time_scale, duration) {
            Input::Script(options) => {
                let quiet = Input::Script(ScriptOptions { quiet: true, ..options });
                let whole = ClientPartition { part: 0, of: 1 };
                quiet.load(time_scale, whole).map_err(|error| anyhow::anyhow!(error))
            }
            Input::Document { path, options, scaling, reads, .. } => {
                reads.add(&path);
                let document = document::load(&path, &options)?;
                Ok(match scaling == DocumentScaling::default() {
                    true => Box::new(document),
                    false => Box::new(scaling.apply(&document)?),
                })
            }
        }
    }

    pub(super) fn load(
        &self,
        time_scale: f64,
        partition: ClientPartition,
    ) -> Result<Box<dyn OperationSource>, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Input::Script(options) => {
                let script = Script::load_partition(options, partition)?;
                let partition = script.partition();
                let of_script = script.own_workloads();
                let preview = Preview::new(script, partition);
                if options.reload.is_none() {
                    return Ok(Box::new(TimeScale::new(preview, time_scale)));
                }
                let continued = Continued::examined(preview, of_script)?;
                Ok(Box::new(TimeScale::new(continued, time_scale)))
            }
            Input::Document { path, options, scaling, reload, reads, .. } => {
                reads.add(path);
                let document = document::load(path, options)?;
                for warning in document.warnings() {
                    tracing::warn!("{}: {warning}", path.display());
                }
                let is_scaled = *scaling != DocumentScaling::default();
                match (is_scaled, reload) {
                    (false, None) => Ok(Box::new(TimeScale::new(document, time_scale))),
                    (false, Some(_)) => continued_document(document, time_scale),
                    (true, None) => {
                        Ok(Box::new(TimeScale::new(scaling.apply(&document)?, time_scale)))
                    }
                    (true, Some(_)) => continued_document(scaling.apply(&document)?, time_scale),
                }
            }
        }
    }
}

/// Returns the source of a later generation of a document.
fn continued_document(
    document: impl OperationSource + 'static,
    time_scale: f64,
) -> Result<Box<dyn OperationSource>, Box<dyn std::error::Error + Send + Sync>> {
    let continued = Continued::examined(Preview::new(document, ClientPartition::WHOLE), 0)?;
    Ok(Box::new(TimeScale::new(continued, time_scale)))
}
