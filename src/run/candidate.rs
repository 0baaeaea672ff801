//! A generation of the stream that is loaded while the run goes on with another one.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use super::file_watch::WatchedFile;
use super::hooks::{HookLoader, NextHooks};
use super::input::Input;
use super::mode;
use super::options::RunOptions;
use super::phases;
use super::settings::GivenThreshold;
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
    pub reads: Vec<WatchedFile>,
    pub layout: Arc<Layout>,
    pub hooks: NextHooks,
    pub thresholds: Vec<Threshold>,
    /// Whether the stream ends by itself.
    pub bounded: bool,
    pub batch_bytes: Option<usize>,
    /// The time at which its arrivals begin, in nanoseconds from time zero.
    pub planned_ns: u64,
}

/// The input of a candidate, and the properties of the run that it has to fit.
pub struct CandidateSource {
    pub number: u32,
    /// The number of the attempt: a generation that is refused leaves its number to the next one.
    pub attempt: u64,
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

/// A part of a load that has ended.
pub struct Loaded {
    pub attempt: u64,
    pub part: LoadedPart,
}

pub enum LoadedPart {
    /// The candidate, and the files that were read, as far as the load came.
    Opened(Box<anyhow::Result<Candidate>>, Vec<WatchedFile>),
    /// The result of the check of a candidate that was opened.
    Checked(anyhow::Result<()>),
}

impl CandidateSource {
    /// Loads the candidate on a thread of its own, and checks its input on another one, because the
    /// edit takes effect after both. Passes to `done` the candidate when it is there, and then the
    /// result of the check, or the error after both have ended.
    pub fn load_aside(self, done: impl Fn(Loaded) + Send + 'static) -> std::io::Result<()> {
        let thread = Builder::new().name(format!("reload-{}", self.number));
        thread.spawn(move || {
            let attempt = self.attempt;
            let done = |part| done(Loaded { attempt, part });
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.load(&done))) {
                let error =
                    anyhow!("loading it panicked, a defect of smbench: {}", panic_message(&*panic));
                done(LoadedPart::Opened(Box::new(Err(error)), Vec::new()));
            }
        })?;
        Ok(())
    }

    fn load(self, done: &impl Fn(LoadedPart)) {
        let (time_scale, duration) = (self.options.time_scale, self.options.duration);
        let reload = Reload {
            generation: self.number,
            begin_ns: scale_ns(self.planned_ns, 1.0 / time_scale),
        };
        let mut input = self.input.for_generation(reload);
        let thresholds = match self.settle_again(&mut input) {
            Ok(thresholds) => thresholds,
            Err(error) => {
                return done(LoadedPart::Opened(Box::new(Err(error)), read_by(&input)));
            }
        };
        let (failed, checked) = thread::scope(|scope| {
            let checking = Builder::new().name("reload-check".into());
            let checking = checking.spawn_scoped(scope, || {
                let began = Instant::now();
                let checked = input.check(time_scale, duration);
                tracing::debug!("generation {} was checked in {:?}", self.number, began.elapsed());
                checked
            });
            let failed = match self.candidate(&input, &thresholds) {
                Ok(candidate) => {
                    done(LoadedPart::Opened(Box::new(Ok(candidate)), read_by(&input)));
                    None
                }
                Err(error) => Some(error),
            };
            let checked = checking.map(|checking| match checking.join() {
                Ok(checked) => checked.map_err(Into::into),
                Err(panic) => resume_unwind(panic),
            });
            (failed, checked)
        });
        done(match failed {
            Some(error) => LoadedPart::Opened(Box::new(Err(error)), read_by(&input)),
            None => LoadedPart::Checked(
                checked.context("no thread to check it").and_then(std::convert::identity),
            ),
        });
    }

    /// Settles the values that the manifest may state once more, and passes those of parameters on to
    /// the input. Returns the thresholds.
    fn settle_again(&self, input: &mut Input) -> anyhow::Result<Vec<GivenThreshold>> {
        let options = &self.options;
        let Some(request) = &options.settings else { return Ok(options.thresholds.clone()) };
        let reads = input.reads().clone();
        let settings = request.settle(&mut |path| reads.add(path))?;
        if settings.target.value != options.target {
            let target = &settings.target.value;
            bail!("the target is now another one, {target}; {RESTART}");
        }
        if settings.duration.as_ref().map(|duration| duration.value) != options.duration {
            bail!("the duration has changed; {RESTART}");
        }
        input.take_parameters_of(&settings)?;
        Ok(settings.given_thresholds())
    }

    fn candidate(&self, input: &Input, given: &[GivenThreshold]) -> anyhow::Result<Candidate> {
        let options = &self.options;
        let began = Instant::now();
        let stream = input.open(options.time_scale, options.duration, self.generators)?;
        tracing::debug!("generation {} was opened in {:?}", self.number, began.elapsed());
        let own = stream.header;
        self.check_fits(&own)?;
        self.gate.check(&own.needs)?;
        if mode::caches(&own.needs, options) && !mode::caches(&self.first.needs, options) {
            bail!(
                "operations now ask for oplocks or leases, for which a run prepares at its beginning; {RESTART}"
            );
        }
        let (header, numbers) = roster::next_header(&self.run, &own)?;
        let header = Arc::new(StreamHeader { needs: own.needs.clone(), ..header });
        open_files::raise_open_file_limit(options.target.open_files(header.active_count()))?;
        let layout = Arc::new(self.layout.grown(header.clone()));
        let began = Instant::now();
        let hooks = self.hooks.prepare_next(input, &own, &layout)?;
        tracing::debug!("generation {} has its hooks after {:?}", self.number, began.elapsed());
        let thresholds = threshold_checks::all(&own, given, hooks.metric_kinds())?;
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
                "the phases have changed, and those of a run are fixed; {RESTART}"
            ));
        }
        if own.run_client != self.first.run_client {
            let change = match own.run_client {
                true => "was added, and the run began with neither",
                false => "was removed, and the script now has neither",
            };
            bail!("bench.setup or bench.teardown {change}; {RESTART}");
        }
        for workload in &own.workloads {
            let before = self.run.workloads.iter().find(|before| before.name == workload.name);
            if before.is_some_and(|before| before.on_break != workload.on_break) {
                bail!(
                    "bench.on_break has changed for workload '{}', and its connections keep what they began with; {RESTART}",
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

/// Returns the files that loading the input has read so far, with their content where it is known.
fn read_by(input: &Input) -> Vec<WatchedFile> {
    input.reads().files().into_iter().map(WatchedFile::from).collect()
}

/// The time from the beginning of a load to the beginning of a generation's arrivals, so that it is
/// accepted before.
pub const LEAD: Duration = Duration::from_millis(100);
