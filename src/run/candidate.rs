//! A generation of the stream that is loaded while the run goes on with another one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use super::hooks::{HookLoader, NextHooks};
use super::input::Input;
use super::mode;
use super::options::RunOptions;
use super::phases;
use super::threshold_checks;
use crate::backend::open_files;
use crate::ir::panic_message::panic_message;
use crate::ir::roster::{self, ClientNumbers};
use crate::ir::{Phase, StreamHeader, scale_ns};
use crate::observability::thresholds::Threshold;
use crate::observability::{GenerationFacts, Layout};
use crate::scheduler::feature_gate::FeatureGate;
use crate::scheduler::feed::SourceThreads;
use crate::script::Reload;

/// The end of an error about an edit that a running experiment cannot follow.
const RESTART: &str = "restart needed: end this run, and start another one";

/// A generation that was loaded, and whose clients have not made their first operations.
pub struct Candidate {
    pub facts: GenerationFacts,
    /// The header of the run with the clients of this generation.
    pub header: Arc<StreamHeader>,
    pub numbers: Arc<ClientNumbers>,
    /// The sources, until they serve.
    pub sources: Option<SourceThreads>,
    /// The files that were read.
    pub reads: Vec<PathBuf>,
    pub layout: Arc<Layout>,
    pub hooks: NextHooks,
    pub thresholds: Vec<Threshold>,
    /// Whether the stream ends by itself.
    pub bounded: bool,
    pub batch_bytes: Option<usize>,
    /// The time at which its arrivals begin, in nanoseconds from time zero.
    pub planned_ns: u64,
}

/// What a candidate is loaded from and has to fit.
pub struct CandidateSource {
    pub number: u32,
    pub input: Input,
    pub options: RunOptions,
    /// The header of the stream that the run began with, and of the run as it is now.
    pub first: Arc<StreamHeader>,
    pub run: Arc<StreamHeader>,
    pub layout: Arc<Layout>,
    pub phases: Vec<Phase>,
    pub gate: FeatureGate,
    pub hooks: HookLoader,
    pub generators: u32,
    pub planned_ns: u64,
}

/// The result of loading a candidate.
pub struct Loaded {
    pub number: u32,
    pub candidate: anyhow::Result<Candidate>,
    /// The files that were read, as far as the load came.
    pub reads: Vec<PathBuf>,
}

impl CandidateSource {
    /// Loads the candidate on a thread of its own, and passes the result to `done`.
    pub fn load_aside(self, done: impl FnOnce(Loaded) + Send + 'static) -> std::io::Result<()> {
        let thread = Builder::new().name(format!("reload-{}", self.number));
        thread.spawn(move || {
            let began = Instant::now();
            let loaded = self.load();
            tracing::debug!("generation {} was loaded in {:?}", loaded.number, began.elapsed());
            done(loaded);
        })?;
        Ok(())
    }

    fn load(self) -> Loaded {
        let time_scale = self.options.time_scale;
        let reload = Reload {
            generation: self.number,
            begin_ns: scale_ns(self.planned_ns, 1.0 / time_scale),
        };
        let input = self.input.for_generation(reload);
        let candidate = catch_unwind(AssertUnwindSafe(|| self.candidate(&input)));
        let candidate = candidate.unwrap_or_else(|panic| {
            Err(anyhow!("loading it panicked, a defect of smbench: {}", panic_message(&*panic)))
        });
        Loaded { number: self.number, candidate, reads: input.reads().paths() }
    }

    fn candidate(&self, input: &Input) -> anyhow::Result<Candidate> {
        let options = &self.options;
        input.check(options.time_scale, options.duration)?;
        let stream = input.open(options.time_scale, options.duration, self.generators)?;
        let own = stream.header;
        self.check_fits(&own)?;
        self.gate.check(&own.needs)?;
        if mode::caches(&own.needs, options) && !mode::caches(&self.first.needs, options) {
            bail!(
                "it asks for oplocks or leases, for which the run would have had to prepare at its beginning; {RESTART}"
            );
        }
        let (header, numbers) = roster::next_header(&self.run, &own)?;
        let header = Arc::new(StreamHeader { needs: own.needs.clone(), ..header });
        open_files::raise_open_file_limit(options.target.open_files(header.active_count()))?;
        let layout = Arc::new(self.layout.grown(header.clone()));
        let hooks = self.hooks.prepare_next(input, &own, &layout)?;
        let thresholds = threshold_checks::all(&own, &options.thresholds, hooks.metric_kinds())?;
        Ok(Candidate {
            facts: GenerationFacts::new(self.number, &own),
            header,
            numbers: Arc::new(numbers),
            sources: Some(stream.sources),
            reads: Vec::new(),
            layout,
            hooks,
            thresholds,
            bounded: own.bounded,
            batch_bytes: own.batch_bytes,
            planned_ns: self.planned_ns,
        })
    }

    /// Refuses a stream that differs from that of the run in what cannot change while it runs.
    fn check_fits(&self, own: &StreamHeader) -> anyhow::Result<()> {
        let ends = phases::ends_without_phases(own.bounded, &self.options);
        let planned = phases::planned(&own.phases, ends, self.options.duration)?;
        if planned != self.phases {
            return Err(anyhow!(
                "the phases of the run are fixed, and they have changed; {RESTART}"
            ));
        }
        if own.run_client != self.first.run_client {
            let (was, is) = match own.run_client {
                true => ("neither", "now has one"),
                false => ("one", "now has none"),
            };
            bail!(
                "the run began with {was} of bench.setup and bench.teardown, and the script {is}; {RESTART}"
            );
        }
        for workload in &own.workloads {
            let before = self.run.workloads.iter().find(|before| before.name == workload.name);
            if before.is_some_and(|before| before.on_break != workload.on_break) {
                bail!(
                    "the way in which workload '{}' answers breaks is a part of its connections, and it has changed; {RESTART}",
                    workload.name
                );
            }
        }
        if own.active_count() == 0 {
            bail!("no client is left; {RESTART}");
        }
        Ok(())
    }
}

/// The time from the beginning of a load to the beginning of a generation's arrivals, so that it is
/// accepted before.
pub const LEAD: Duration = Duration::from_millis(100);
