//! A loaded script as a source of operations.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use mlua::AnyUserData;

use super::api::{ClientObject, Rng, checked_thresholds, register_clients};
use super::arrivals::{Arrivals, OwnClients};
use super::blobs::Blobs;
use super::chunks::shown_path;
use super::client::{Bounds, Identity, ScriptClient};
use super::coroutines::{BegunClient, CoroutineState, Coroutines};
use super::declared::{
    Declared, DeclaredWorkload, ParameterHelp, SectionFunctions, break_policies,
};
use super::error::ScriptError;
use super::given_parameters::{GivenParameter, GivenParameters};
use super::handles::MAX_OPEN;
use super::hooks::hook_state::HookState;
use super::hooks::succession::HookSuccession;
use super::host::ScriptHost;
use super::location::ScriptLocation;
use super::open_loop::OpenLoop;
use super::options::{ScriptLimits, ScriptOptions};
use super::pace::{Pace, Schedule};
use super::parameter_names::{check_given, given_for};
use super::project::Project;
use super::require::read_source;
use super::stream_hash::stream_hash;
use super::stream_plan::StreamPlan;
use super::streams::StreamBuilder;
use super::testing::TestState;
use super::values::unknown;
use super::vm::Vm;
use crate::ir::directory::directory_of;
use crate::ir::phases;
use crate::ir::random::RandomNumbers;
use crate::ir::source::RUN_CLIENT;
use crate::ir::workloads::MAX_CLIENTS;
use crate::ir::{
    ClientPartition, HandleRef, Operation, OperationSource, Progress, Section, SourceError,
    StreamHeader, Workload,
};
use crate::transform::{OperationStream, TransformedSource, number_step};

/// A script whose top level has run. It makes the operations of whichever client it is asked for,
/// on the calling thread.
///
/// Handles that a client has open when its iterations end count as closed in its teardown, whether
/// the stream was cut or not.
pub struct Script {
    pub(super) vm: Vm,
    header: StreamHeader,
    partition: ClientPartition,
    bounds: Bounds,
    generation: u32,
    /// The functions of each workload; after them those of the run-wide client, if there is one.
    functions: Vec<SectionFunctions>,
    rng: AnyUserData,
    /// The operations of documents that the script runs besides its workloads, or alone.
    streams: Option<TransformedSource>,
    /// The number of workloads that the script declares, and of their clients. Those of `streams`
    /// come after them.
    own_workloads: usize,
    own_clients: u32,
    /// The number of operations of the run-wide client, if `streams` may have a part of them.
    run_wide_operations: u32,
    /// The clients of its partition; after them the run-wide client, if there is one.
    clients: Vec<Option<Box<BegunClient>>>,
    coroutines: Coroutines,
    dropped_by_documents: Vec<String>,
}

struct Loaded {
    vm: Vm,
    declared: Declared,
    /// The name of the script's file.
    chunk: String,
    /// The script's location as errors write it.
    path: String,
    source: String,
}

/// A VM for a file that was read and whose top level has not run.
pub(super) struct Opened {
    pub vm: Vm,
    /// The name of the file for Lua.
    pub chunk: String,
    /// The file as the user named it.
    pub path: String,
    pub source: String,
}

/// Reads a script or a test file, and makes a VM for it: for hooks if `hooks` is given, for tests
/// if `tests` is.
pub(super) fn open(
    options: &ScriptOptions,
    partition: ClientPartition,
    hooks: Option<Rc<HookState>>,
    tests: Option<Rc<TestState>>,
) -> Result<Opened, ScriptError> {
    let shown = options.shown_location();
    let (source, project, blobs) = match &options.location {
        ScriptLocation::File(path) => {
            options.reads.add(path);
            let read = || read_source(path, options.limits.source_bytes, &options.reads);
            let source = options.sources.file(true, path, read)?.to_string();
            let mut project = Project::of_script(path, shown.as_ref(), &options.reads)
                .map_err(|reason| ScriptError::Unreadable { path: path.clone(), reason })?;
            project.load_packages(options)?;
            let blobs = Blobs::new(directory_of(path), &options.blob_directories)?;
            (source, project, Some(blobs))
        }
        ScriptLocation::Ready(ready) => {
            (ready.source.to_string(), Project::of_ready_workload(ready), None)
        }
    };
    let chunk = shown_path(&project.script);
    let declared = Declared {
        given: GivenParameters::of(options)?,
        seed: options.seed.unwrap_or(0),
        ..Declared::default()
    };
    let host = ScriptHost::new(options, partition, declared, project, blobs, hooks, tests);
    Ok(Opened { vm: Vm::new(host)?, chunk, path: shown, source })
}

/// Runs the top level, for hooks if `hooks` is given. Returns its declarations even if it fails.
fn load(
    options: &ScriptOptions,
    partition: ClientPartition,
    hooks: Option<Rc<HookState>>,
) -> Result<(Loaded, Result<(), ScriptError>), ScriptError> {
    let Opened { vm, chunk, path, source } = open(options, partition, hooks, None)?;
    let result = vm.run(&chunk, &path, &source);
    let declared = vm.host.declared.take().unwrap_or_default();
    Ok((Loaded { vm, declared, chunk, path, source }, result))
}

/// Loads the VM for the script's hooks, which has a quarter of the memory, and returns it with the
/// declarations of the script. `header` is that of the stream with the script's operations.
pub(super) fn load_for_hooks(
    options: &ScriptOptions,
    header: &StreamHeader,
    succession: &HookSuccession,
) -> Result<((Vm, Rc<HookState>), Declared), ScriptError> {
    let mut options = options.clone();
    options.limits.memory_bytes = options.limits.memory_of_hooks();
    let state = Rc::new(HookState::new(succession.give_up(), succession.metrics()));
    let (loaded, result) = load(&options, ClientPartition::WHOLE, Some(Rc::clone(&state)))?;
    result?;
    let Loaded { vm, declared, path, source, .. } = loaded;
    let hash = blake3::hash(source.as_bytes()).to_hex();
    if header.script_hash.as_deref() != Some(hash.as_str()) || header.modules != declared.modules {
        return Err(ScriptError::Script(format!(
            "{path}: the script or a module changed while it was loaded"
        )));
    }
    Ok(((vm, state), declared))
}

/// Returns the parameters that a script declares, by name, and after them those of the libraries
/// that it requires. Only the top level of the script runs,
/// and nothing it prints is shown.
///
/// # Errors
/// [`ScriptError`] if the script cannot be read, or fails before it has declared its parameters.
pub fn describe(
    location: &ScriptLocation,
    limits: ScriptLimits,
) -> Result<Vec<ParameterHelp>, ScriptError> {
    let location = location.clone();
    let options = ScriptOptions { location, limits, quiet: true, ..ScriptOptions::default() };
    let (loaded, result) = load(&options, ClientPartition::WHOLE, None)?;
    let parameters: Vec<ParameterHelp> = loaded.declared.parameters().cloned().collect();
    match loaded.declared.params.is_some() || !parameters.is_empty() {
        true => Ok(parameters),
        false => result.map(|()| Vec::new()),
    }
}

/// A parameter, and the value that it is given from outside, if it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedParameter {
    pub parameter: ParameterHelp,
    pub given: Option<GivenParameter>,
}

/// Returns the parameters that a script and its libraries declare, with the values that `options`
/// give them. Only the top level of the script runs, and nothing it prints is shown.
///
/// # Errors
/// [`ScriptError`] if the script cannot be read or is wrong, or if a value does not fit.
pub fn parameter_values(options: &ScriptOptions) -> Result<Vec<ExplainedParameter>, ScriptError> {
    let options = ScriptOptions { quiet: true, ..options.clone() };
    let (loaded, result) = load(&options, ClientPartition::WHOLE, None)?;
    result?;
    let Loaded { vm, declared, .. } = loaded;
    let packages = &vm.host.project.packages;
    check_given(&declared, packages)?;
    let values = declared.parameters().map(|parameter| {
        let given = given_for(&declared.given, packages, &parameter.name);
        ExplainedParameter { given: given.cloned(), parameter: parameter.clone() }
    });
    Ok(values.collect())
}

impl Script {
    /// Reads a script and runs its top level.
    ///
    /// # Errors
    /// [`ScriptError`] if the script cannot be read, is wrong, exceeds its limits, or does not fit
    /// the parameters and clients given.
    pub fn load(options: &ScriptOptions) -> Result<Script, ScriptError> {
        Script::load_partition(options, ClientPartition::WHOLE)
    }

    /// Loads a script as [`Script::load`] does, to make the operations of one partition of the clients
    /// within its part of the memory. There are at most as many partitions as clients: see
    /// [`Script::partition`].
    ///
    /// # Errors
    /// The errors of [`Script::load`].
    pub fn load_partition(
        options: &ScriptOptions,
        partition: ClientPartition,
    ) -> Result<Script, ScriptError> {
        let (loaded, result) = load(options, partition, None)?;
        result?;
        let host = Rc::clone(&loaded.vm.host);
        Script::assemble(loaded, options, partition).map_err(|error| host.with_paths(error))
    }

    /// Makes a source from the declarations of the top level.
    fn assemble(
        loaded: Loaded,
        options: &ScriptOptions,
        partition: ClientPartition,
    ) -> Result<Script, ScriptError> {
        let Loaded { vm, mut declared, chunk, path, source } = loaded;
        let dropped_by_documents = dropped_by_documents(&declared);
        let metrics = declared.hooks.metric_kinds();
        check_given(&declared, &vm.host.project.packages)?;
        let run: Vec<Rc<StreamPlan>> = (declared.streams.iter())
            .filter(|stream| !stream.is_used.get())
            .map(|stream| Rc::clone(&stream.plan))
            .collect();
        if declared.workloads.is_empty() && run.is_empty() {
            return Err(ScriptError::Script(format!(
                "{path}: the script has no workload; add bench.workload {{ name = …, iteration = function(c, rng) … end }}, or load a document with bench.load"
            )));
        }
        let mut builder = StreamBuilder::new(&vm.host, options);
        let streams = builder.all(&run)?;
        let documents = builder.documents;
        let streamed = streams.as_ref().map(|stream| stream.facts().header.clone());
        let streamed =
            streamed.unwrap_or(StreamHeader { bounded: true, ..StreamHeader::default() });
        override_clients(&mut declared.workloads, &streamed, options)?;
        if declared.workloads.is_empty() && options.iterations.is_some() {
            return Err(ScriptError::Script(format!(
                "{path}: --iterations counts those of workloads, and the script has none; bench.repeat_stream {{ times = … }} repeats a stream"
            )));
        }
        let names = workload_names(&declared.workloads, &streamed)
            .map_err(|problem| ScriptError::Script(format!("{path}: {problem}")))?;
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let phases = declared.phases.take().unwrap_or_else(|| streamed.phases.clone());
        let hooks = declared.check_hooks(&names, &phases)?;
        let params = declared.take_values();
        let Declared { modules, workloads, run_wide, thresholds, on_break, .. } = declared;
        let phases = match (phases, options.duration_ns) {
            (phases, Some(duration_ns)) if !phases.is_empty() => {
                phases::scaled(&phases, duration_ns)
                    .map_err(|error| ScriptError::Script(format!("{path}: {error}")))?
            }
            (phases, _) => phases,
        };
        let mut thresholds = checked_thresholds(thresholds, &phases, &names, &metrics)?;
        for threshold in &mut thresholds {
            threshold.place = vm.host.chunks.borrow().with_paths(&threshold.place);
        }
        let mut header = StreamHeader {
            source: chunk,
            seed: options.seed.unwrap_or(0),
            workloads: (workloads.iter())
                .map(|DeclaredWorkload { name, clients, setup_on_reload, .. }| Workload {
                    setup_on_reload: *setup_on_reload,
                    ..Workload::new(name, *clients)
                })
                .chain(streamed.workloads.iter().cloned())
                .zip(break_policies(&on_break, &names)?)
                .map(|(workload, on_break)| match on_break {
                    Some(on_break) => Workload { on_break, ..workload },
                    None => workload,
                })
                .collect(),
            run_client: run_wide.setup.is_some()
                || run_wide.teardown.is_some()
                || streamed.run_client,
            phases,
            bounded: streamed.bounded && (workloads.is_empty() || options.iterations.is_some()),
            hooks,
            script_hash: Some(blake3::hash(source.as_bytes()).to_hex().to_string()),
            params,
            modules,
            packages: vm.host.project.packages.used(),
            needs: workloads.iter().flat_map(|workload| workload.needs.clone()).collect(),
            thresholds,
            ..StreamHeader::default()
        };
        if !streamed.needs.is_empty() {
            header.add_needs(streamed.needs.iter().cloned());
        }
        let own_clients: u32 = workloads.iter().map(|workload| workload.clients).sum();
        if let Some(active) = &streamed.active {
            let run_client = header.run_client.then(|| header.workload_clients());
            let active = active.iter().filter(|client| **client < streamed.workload_clients());
            let active = active.map(|client| client + own_clients);
            header.active = Some((0..own_clients).chain(active).chain(run_client).collect());
        }
        let limits = &options.limits;
        header.batch_bytes = Some(limits.batch_bytes(header.clients()));
        let uses_steps = vm.host.chunks.borrow().have_word("step");
        vm.enter(0, |lua| register_clients(lua, &vm.host, uses_steps))?;
        let rng = vm.enter(0, |lua| lua.create_any_userdata(Rng::Running))?;
        let partition = partition.at_most(header.workload_clients());
        let mut first = 0;
        let mut open_loops = Vec::with_capacity(workloads.len());
        for workload in &workloads {
            let own = OwnClients { first: partition.first_of(first), step: partition.of };
            first += workload.clients;
            open_loops.push(open_loop(workload, own, &header, options, &rng)?);
        }
        let has_arrivals = open_loops.iter().any(Option::is_some);
        header.ir_hash = stream_hash(&source, &header, &documents, options, has_arrivals);
        let own_workloads = workloads.len();
        let functions = workloads.into_iter().map(|workload| workload.functions);
        let functions = functions.chain([run_wide]).collect();
        let coroutines = vm.enter(0, |lua| Coroutines::new(lua, &vm.host))?;
        *vm.host.open_loops.borrow_mut() = open_loops;
        let places = OwnClients { first: partition.part, step: partition.of };
        let places = places.count(header.workload_clients()) + usize::from(header.run_client);
        let clients = (0..places).map(|_| None).collect();
        let bounds =
            Bounds { iterations: options.iterations, nominal_ns: options.nominal_bound_ns };
        let of_hooks = if header.hooks { limits.memory_of_hooks() } else { 0 };
        let bytes = limits.memory_bytes - limits.memory_of_operations() - of_hooks;
        vm.limit_memory(bytes, partition.of)?;
        vm.host.operation_memory.share(limits, header.clients(), partition.of);
        Ok(Script {
            vm,
            header,
            partition,
            bounds,
            generation: options.generation(),
            functions,
            rng,
            streams: streams.map(TransformedSource::new),
            own_workloads,
            own_clients,
            run_wide_operations: 0,
            clients,
            coroutines,
            dropped_by_documents,
        })
    }

    /// Returns the declarations of the script that documents cannot hold, such as its hooks.
    pub fn dropped_by_documents(&self) -> &[String] {
        &self.dropped_by_documents
    }

    /// Returns the stream of documents that the script runs, if it has one.
    pub(super) fn stream(&self) -> Option<&dyn OperationStream> {
        self.streams.as_ref().map(TransformedSource::stream)
    }

    /// Returns whether the script has a function for this section of the client.
    pub(super) fn has(&self, client: u32, section: Section) -> bool {
        let workload = self.header.workload_of(client).map(|(workload, _)| workload);
        let functions = match workload {
            Some(workload) if workload >= self.own_workloads => None,
            workload => self.functions.get(workload.unwrap_or(self.own_workloads)),
        };
        functions.is_some_and(|functions| functions.of(section).is_some())
    }

    /// Returns the number of workloads that the script declares itself. They are the first ones of
    /// the header. After them come those of documents.
    pub fn own_workloads(&self) -> usize {
        self.own_workloads
    }

    /// Returns the partition of the clients whose operations it makes.
    pub fn partition(&self) -> ClientPartition {
        self.partition
    }

    /// Returns the index in `clients` of a client of its own partition.
    fn place(&self, client: u32) -> Option<usize> {
        let workload_clients = self.header.workload_clients();
        if client >= self.header.clients() || !self.partition.has(client, workload_clients) {
            return None;
        }
        match client < workload_clients {
            true => Some((client / self.partition.of) as usize),
            false => Some(self.clients.len() - 1),
        }
    }

    /// Moves the client to `section`. Returns false if the client has no such section or is past
    /// it.
    fn enter(&mut self, index: u32, section: Section) -> Result<bool, SourceError> {
        let Some(place) = self.place(index) else { return Ok(false) };
        let place = &mut self.clients[place];
        if let Some(client) = place.as_ref().and_then(|begun| begun.client.as_ref())
            && client.section >= section
        {
            return Ok(client.section == section);
        }
        let of_run_client = (self.own_workloads, 0);
        let (workload, id) = self.header.workload_of(index).unwrap_or(of_run_client);
        let mut open_loops = self.vm.host.open_loops.borrow_mut();
        let open_loop = open_loops.get_mut(workload).and_then(Option::as_mut);
        let paced = open_loop.is_some().then_some(workload);
        if let Some(open_loop) = open_loop
            && section == Section::Teardown
        {
            open_loop.arrivals.leave(id);
        }
        drop(open_loops);
        if self.functions[workload].of(section).is_none() {
            return Ok(false);
        }
        let name = self.header.workloads.get(workload).filter(|_| workload < self.own_workloads);
        let name = name.map_or_else(|| RUN_CLIENT.into(), |workload| Arc::clone(&workload.name));
        let seed = self.header.seed;
        let random = match section {
            Section::Iteration => {
                self.vm.host.operation_memory.begin_iterations();
                RandomNumbers::of_iterations(seed, &name, id, self.generation)
            }
            Section::Setup | Section::Teardown => RandomNumbers::new(seed, &name, id, section),
        };
        let state = CoroutineState::Idle;
        match place {
            Some(begun) => {
                begun.state = state;
                if let Some(client) = begun.client.as_mut() {
                    client.enter(section, random, &self.vm.host.operation_memory);
                }
            }
            None => {
                let identity = Identity { index, workload: name, id };
                let client = ScriptClient::new(identity, paced, self.bounds, section, random);
                let object = self
                    .vm
                    .enter(0, |lua| lua.create_any_userdata(ClientObject { index, stage: None }));
                let object = object.map_err(|error| SourceError {
                    message: error.to_string(),
                    client: Some(self.header.client_name(index)),
                })?;
                let client = Some(Box::new(client));
                *place = Some(Box::new(BegunClient { client, object, state }));
            }
        }
        Ok(true)
    }
}

fn dropped_by_documents(declared: &Declared) -> Vec<String> {
    let mut dropped = Vec::new();
    match declared.thresholds.len() {
        0 => {}
        1 => dropped.push(
            "its threshold (bench.thresholds): give it to the document's run with --threshold".into(),
        ),
        count => dropped.push(format!(
            "its {count} thresholds (bench.thresholds): give them to the document's run with --threshold"
        )),
    }
    dropped.extend(declared.hooks.described());
    if declared.workloads.iter().any(|workload| !workload.needs.is_empty()) {
        dropped.push("what its workloads need beyond their operations (needs)".into());
    }
    if declared.workloads.iter().any(|workload| workload.setup_on_reload) {
        dropped.push("that setup runs again at a reload (setup_on_reload)".into());
    }
    dropped
}

/// Returns the arrivals of a workload that has them.
fn open_loop(
    workload: &DeclaredWorkload,
    own: OwnClients,
    header: &StreamHeader,
    options: &ScriptOptions,
    rng: &AnyUserData,
) -> Result<Option<OpenLoop>, ScriptError> {
    let Pace::Open(pace) = &workload.pace else { return Ok(None) };
    let name = &workload.name;
    let place = |line: &str| format!("{line}: workload '{name}'");
    let schedule = pace
        .schedule(&header.phases)
        .map_err(|problem| ScriptError::Script(format!("{}: {problem}", place(&pace.line))))?;
    let random = RandomNumbers::of_arrivals(header.seed, name, options.generation());
    let begin_ns = options.reload.map_or(0, |reload| reload.begin_ns);
    let Schedule { lates, rates, stretches, functions } = schedule;
    Ok(Some(OpenLoop {
        lates,
        place: place(&pace.line),
        arrivals: Arrivals::new(rates, stretches, random, workload.clients, own)
            .beginning_at(begin_ns),
        functions: functions.into_iter().map(|(f, line)| (f, place(&line))).collect(),
        rng: rng.clone(),
    }))
}

impl OperationSource for Script {
    fn header(&self) -> &StreamHeader {
        &self.header
    }

    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let workload_clients = self.header.workload_clients();
        if client < self.own_clients || self.streams.is_none() {
            self.pull_own(client, section, max, into)
        } else if client < workload_clients {
            self.pull_streamed(client - self.own_clients, client, section, max, into)
        } else {
            self.pull_run_wide(client, section, max, into)
        }
    }
}

impl Script {
    /// Pulls operations of a client of `streams`, which is numbered `client` in this stream.
    fn pull_streamed(
        &mut self,
        streamed: u32,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let workload_clients = self.header.workload_clients();
        let Some(streams) = &mut self.streams else { return Ok(Progress::End) };
        if !self.partition.has(client, workload_clients) {
            return Ok(Progress::End);
        }
        let first = into.len();
        let progress = streams.pull(streamed, section, max, into);
        for at in first..into.len() {
            let operation = &mut into[at];
            operation.client_idx = client;
            let names = operation.step.iter().flat_map(|step| step.names());
            let refused = names.map(|name| self.vm.host.step_name(name)).find_map(Result::err);
            if let Some(error) = refused {
                into.truncate(at);
                let client = Some(self.header.client_name(client));
                return Err(SourceError { message: error.to_string(), client });
            }
        }
        progress
    }

    /// Pulls operations of the run-wide client. Those of the script come first in setup, and last in
    /// teardown.
    fn pull_run_wide(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let streamed = self.streams.as_ref().map(|streams| streams.header());
        let streamed = streamed.filter(|header| header.run_client).map(|it| it.workload_clients());
        let first = into.len();
        let mut progress = Ok(Progress::End);
        for own in [section != Section::Teardown, section == Section::Teardown] {
            let begin = into.len();
            let room = max.max(1) - (begin - first);
            progress = match (own, streamed) {
                _ if room == 0 => Ok(Progress::More),
                (true, _) => self.pull_own(client, section, room, into),
                (false, Some(streamed)) => {
                    self.pull_streamed(streamed, client, section, room, into)
                }
                (false, None) => Ok(Progress::End),
            };
            for at in begin..into.len() {
                // The steps of both have numbers of their own, so that they stay apart.
                number_step(&mut into[at], u32::from(!own), 2);
                let numbered = if own { Ok(()) } else { above_own_handles(&mut into[at]) };
                if let Err(error) = numbered {
                    into.truncate(at);
                    progress = Err(error);
                    break;
                }
            }
            if progress != Ok(Progress::End) {
                break;
            }
        }
        for operation in &mut into[first..] {
            operation.seq = self.run_wide_operations;
            self.run_wide_operations = self.run_wide_operations.saturating_add(1);
        }
        progress
    }

    /// Pulls operations that the script's own functions make.
    fn pull_own(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let max = max.max(1);
        if !self.enter(client, section)? {
            return Ok(Progress::End);
        }
        let of = self.header.workload_of(client).map(|(workload, _)| workload);
        let functions = &self.functions[of.unwrap_or(self.own_workloads)];
        let Some(function) = functions.of(section) else { return Ok(Progress::End) };
        let begun = self.place(client).and_then(|place| self.clients[place].as_deref_mut());
        let Some(begun) = begun else { return Ok(Progress::End) };
        let memory = &self.vm.host.operation_memory;
        if let Some(client) = begun.client.as_mut() {
            client.start_batch(memory);
        }
        let mut wanted = max;
        loop {
            let mut full = false;
            if let Some(client) = begun.client.as_mut() {
                wanted -= client.take_made(wanted, into, memory);
                full = client.batch_is_full(memory);
            }
            if wanted == 0 || full {
                let drained = begun.client.as_ref().is_none_or(|client| client.made.is_empty());
                let ended = drained && matches!(begun.state, CoroutineState::Ended);
                return Ok(if ended { Progress::End } else { Progress::More });
            }
            match &begun.state {
                CoroutineState::Ended => return Ok(Progress::End),
                CoroutineState::Failed(error) => return Err(SourceError::clone(error)),
                CoroutineState::Idle | CoroutineState::Running(_) => {}
            }
            if let Err(error) =
                self.coroutines.resume(&self.vm, begun, (function, &self.rng), wanted)
            {
                begun.state = CoroutineState::Failed(Box::new(SourceError {
                    message: error.to_string(),
                    client: Some(self.header.client_name(client)),
                }));
            }
        }
    }
}

/// Gives the operation of a stream's run-wide client a handle that is none of the script's.
fn above_own_handles(operation: &mut Operation) -> Result<(), SourceError> {
    if let Some(handle_ref) = operation.kind.handle_ref_mut() {
        let number = handle_ref.0.checked_add(MAX_OPEN as u32).ok_or_else(|| SourceError {
            message: "the run-wide client opens too many files".into(),
            client: Some(RUN_CLIENT.into()),
        })?;
        *handle_ref = HandleRef(number);
    }
    Ok(())
}

/// Returns the names of all workloads: those of the script, then those of its streams.
///
/// # Errors
/// A message if two of them have the same name.
fn workload_names(
    workloads: &[DeclaredWorkload],
    streamed: &StreamHeader,
) -> Result<Vec<Arc<str>>, String> {
    let own = workloads.iter().map(|workload| Arc::from(workload.name.as_str()));
    let names: Vec<Arc<str>> =
        own.chain(streamed.workloads.iter().map(|workload| Arc::clone(&workload.name))).collect();
    let mut known = HashSet::new();
    match names.iter().find(|name| !known.insert(name.to_uppercase())) {
        Some(twice) => Err(format!(
            "two workloads are named '{twice}' (case does not count); put the documents into bench.merge {{ day = …, night = … }}, which names their workloads day/{twice} and night/{twice}, or rename the script's workload"
        )),
        None => Ok(names),
    }
}

fn override_clients(
    workloads: &mut [DeclaredWorkload],
    streamed: &StreamHeader,
    options: &ScriptOptions,
) -> Result<(), ScriptError> {
    for wanted in &options.clients {
        let of_stream = |name: &String| streamed.workloads.iter().any(|it| *it.name == **name);
        if workloads.is_empty() || wanted.workload.as_ref().is_some_and(of_stream) {
            return Err(ScriptError::Clients(format!(
                "--clients {}: the clients are those of a document; bench.scale_clients {{ to = {} }} in the script makes more of them",
                wanted.clients, wanted.clients
            )));
        }
        let names = || workloads.iter().map(|workload| workload.name.as_str());
        let place = match &wanted.workload {
            Some(name) => names().position(|known| known == name).ok_or_else(|| {
                ScriptError::Clients(format!(
                    "--clients {name}={}: {}",
                    wanted.clients,
                    unknown("workload", name, names())
                ))
            })?,
            None if workloads.len() == 1 => 0,
            None => {
                let names: Vec<&str> = names().collect();
                return Err(ScriptError::Clients(format!(
                    "--clients {0}: the script has several workloads ({1}); write --clients {2}={0}",
                    wanted.clients,
                    names.join(", "),
                    names[0],
                )));
            }
        };
        workloads[place].clients = wanted.clients;
    }
    let own: u64 = workloads.iter().map(|workload| u64::from(workload.clients)).sum();
    let total = own + u64::from(streamed.workload_clients());
    if total > u64::from(MAX_CLIENTS) {
        return Err(ScriptError::Clients(format!(
            "{total} clients in total; at most {MAX_CLIENTS} are possible"
        )));
    }
    Ok(())
}
