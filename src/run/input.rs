//! What a run takes its operations from.

use std::path::PathBuf;
use std::time::Duration;

use super::nanoseconds;
use crate::ir::document::{self, LoadOptions};
use crate::ir::operation::scale_ns;
use crate::ir::{OperationSource, Preview, StreamHeader, TimeScale};
use crate::scheduler::feed::SourceThread;
use crate::script::{Script, ScriptOptions};

/// A script or a document, as the command line names it.
#[derive(Clone, Debug)]
pub enum Input {
    Script(ScriptOptions),
    Document {
        path: PathBuf,
        options: LoadOptions,
        /// Of payload patterns, in place of the document's own.
        seed: Option<u64>,
    },
}

/// An input that is open: its header is known, its operations wait on a thread.
pub struct Stream {
    pub header: StreamHeader,
    pub source: SourceThread,
}

impl Input {
    /// Loads the script, or reads and checks the whole document, with its times
    /// `time_scale` times as long. `duration` is what the run was told: a script
    /// may follow it.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn open(&self, time_scale: f64, duration: Option<Duration>) -> anyhow::Result<Stream> {
        let mut input = self.clone();
        if let Input::Script(options) = &mut input {
            // In the script's own time, which is scaled afterwards.
            options.duration_ns =
                duration.map(|duration| scale_ns(nanoseconds(duration), 1.0 / time_scale));
        }
        let (mut header, source) = SourceThread::start(move || input.load(time_scale))
            .map_err(|error| anyhow::anyhow!(error))?;
        if let Input::Document { path, seed, .. } = self {
            header.seed = seed.unwrap_or(header.seed);
            if header.source.is_empty() {
                header.source = path.file_name().unwrap_or_default().to_string_lossy().into();
            }
        }
        Ok(Stream { header, source })
    }

    fn load(
        &self,
        time_scale: f64,
    ) -> Result<Box<dyn OperationSource>, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Input::Script(options) => {
                Ok(Box::new(TimeScale::new(Preview::new(Script::load(options)?), time_scale)))
            }
            Input::Document { path, options, .. } => {
                let document = document::load(path, options)?;
                for warning in document.warnings() {
                    tracing::warn!("{}: {warning}", path.display());
                }
                Ok(Box::new(TimeScale::new(document, time_scale)))
            }
        }
    }
}
