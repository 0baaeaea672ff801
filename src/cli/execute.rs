//! The execution of a command: passes the arguments to `run` and prints its results.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::args::{BoundArgs, StreamArgs};
use super::command::{Cli, Command, definitions};
use super::compile::{CompileArgs, CompileTo};
use super::completions::completions;
use super::definitions::DefinitionsArgs;
use super::explain::{Explanation, render_explanation};
use super::input_path::InputPath;
use super::junit::Junit;
use super::library::{self, LibraryArgs, LibraryCommand, LibraryList, NO_LIBRARIES};
use super::log;
use super::manual::{self, ManArgs};
use super::nearby_files::advice;
use super::new::NewArgs;
use super::number_format::{counted, grouped, plural};
use super::parameters::render_parameters;
use super::password::{password, password_source};
use super::probe::{render_probe, render_targets};
use super::report::render;
use super::run::RunArgs;
use super::scan::{ScanArgs, described};
use super::scripts::{ScriptList, ScriptsArgs, ScriptsCommand, render_scripts};
use super::serve::ServeArgs;
use super::standard_output::print;
use super::style::Style;
use super::targets::{ListArgs, ProbeArgs, TargetList, TargetsCommand};
use super::test::{TestArgs, is_ci};
use super::test_report::TestSummary;
use super::thresholds::failed;
use super::validate::ValidateArgs;
use super::verdict::{exit_reasons, leftovers};
use crate::backend::embedded::Storage;
use crate::backend::memory::MemoryLimits;
use crate::backend::registry::Target;
use crate::backend::smb2::Password;
use crate::ir::compile::CompileBounds;
use crate::ir::document::{self, LoadOptions};
use crate::ir::units::nanoseconds;
use crate::ir::{Need, OperationSource};
use crate::observability::exit::ExitReason;
use crate::observability::progress_lines::ProgressLines;
use crate::observability::standard_error::{self, LineKind, report};
use crate::observability::text::printable;
use crate::project::definitions as editor_definitions;
use crate::project::starter::{self, StarterKind};
use crate::run::{
    self, Destination, DocumentScaling, Given, Input, ProbeOptions, RunError, RunOptions,
    ServeOptions, Settings, SettingsRequest, TestRunOptions, Timeouts, ValueOrigin, WatchOptions,
};
use crate::scheduler::Precision;
use crate::script::{self, Depth, READY_WORKLOADS, ReadFiles, ScriptLocation, ScriptOptions};

/// Longest part of an error's line that is printed, in characters.
const MAX_ERROR_CHARS: usize = 4_000;

/// Carries out a command and returns its exit code.
pub fn execute(cli: Cli) -> u8 {
    let done = log::start(&cli.logging).map_err(RunError::invalid);
    if let Err(error) = run::survive_file_size_limit() {
        tracing::debug!("a write beyond ulimit -f will end the program: {error}");
    }
    let done = done.and_then(|()| carry_out(&cli.command));
    done.unwrap_or_else(|failed| {
        let lines: Vec<String> =
            failed.to_string().lines().map(|line| printable(line, MAX_ERROR_CHARS)).collect();
        report(LineKind::Error, &lines.join("\n"));
        failed.exit_code()
    })
}

fn carry_out(command: &Command) -> Result<u8, RunError> {
    match command {
        command if command.wants_help() => help(command)?,
        Command::Run(args) => return run(args),
        Command::Watch(args) => return run(&args.run),
        Command::Compile(args) => compile(args)?,
        Command::Validate(args) => validate(args)?,
        Command::New(args) => new_project(args)?,
        Command::Definitions(args) => write_definitions(args)?,
        Command::Test(args) => return test(args),
        Command::Lib(args) => return libraries(args),
        Command::Targets(args) => match &args.what {
            TargetsCommand::List(args) => list_targets(args)?,
            TargetsCommand::Probe(args) => return probe(args),
        },
        Command::Scan(args) => scan(args)?,
        Command::Serve(args) => serve(args)?,
        Command::Scripts(args) => scripts(args)?,
        Command::Completions(args) => say(&completions(args.shell, definitions()))?,
        Command::Man(args) => man(args)?,
    }
    Ok(0)
}

fn help(command: &Command) -> Result<(), RunError> {
    let style = Style::of_stdout();
    let text = command.help();
    let mut shown = if style.color { text.ansi().to_string() } else { text.to_string() };
    if let Some((_, stream)) = command.stream()
        && let Some(InputPath::Script(location)) = &stream.input
    {
        location.file().map_or(Ok(()), check_is_there)?;
        let parameters =
            script::describe(location, stream.limits.script_limits()).map_err(RunError::invalid)?;
        let name = match location {
            ScriptLocation::File(path) => {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into()
            }
            ScriptLocation::Ready(ready) => ready.to_string(),
        };
        shown.push('\n');
        shown.push_str(&render_parameters(&name, &parameters, style));
    }
    say(&shown)
}

fn run(args: &RunArgs) -> Result<u8, RunError> {
    let mut input = input(&args.stream, &args.bounds)?;
    let origins = &args.stream.origins;
    let request = SettingsRequest {
        target: origins.given("target", args.target.clone()),
        thresholds: origins.given("thresholds", args.thresholds.clone()),
        ..settings_request(&args.stream, &args.bounds)
    };
    let settings = settle(&request, &mut input)?;
    let target = settings.target.value.clone();
    if target != Target::Embedded && origins.origin("embedded_dir") == Some(&ValueOrigin::Flag) {
        return Err(RunError::invalid(anyhow::anyhow!(
            "--embedded-dir is for the target embedded, and the target is {target}"
        )));
    }
    if args.explain {
        return explain(args, &input, &settings).map(|()| 0);
    }
    let options = RunOptions {
        password: ask_password(&target, args.password_file.as_deref())?,
        target,
        storage: match &args.embedded_dir {
            Some(directory) => Storage::Directory(directory.clone()),
            None => Storage::Memory(MemoryLimits::default()),
        },
        duration: settings.duration.as_ref().map(|duration| duration.value),
        operations: args.bounds.operations,
        limit: args.limit,
        retry: args.retry.clone(),
        time_scale: args.time_scale,
        generators: args.generators.map(u32::from),
        shards: args.shards.map(usize::from),
        precision: if args.precise { Precision::Yield } else { Precision::Sleep },
        connect_concurrency: args.connect_concurrency,
        timeouts: Timeouts {
            operation: args.op_timeout,
            connect: args.connect_timeout,
            reconnect: args.reconnect_timeout,
            drain: args.drain,
        },
        late_bound: args.late_bound,
        allow_late: args.allow_late,
        mode: args.mode.highest(),
        degrade: args.degrade,
        thresholds: settings.given_thresholds(),
        settings: Some(request),
        hook_errors: args.hook_errors,
        oplog: args.oplog,
        prepare: args.prepare,
        clean: args.clean,
        watch: args.watch.then_some(WatchOptions { grace: args.reload_grace, keys: true }),
        stop_at: None,
        interrupts: None,
        out: args.out.clone(),
        progress: !args.quiet,
    };
    standard_error::never_wait();
    let outcome = run::run(&input, &options);
    standard_error::settle();
    let outcome = outcome?;
    let directory = outcome.directory.as_deref();
    // Results that could not be written to files are printed even with --quiet.
    let printed = match (args.json, args.quiet && directory.is_some()) {
        (true, _) => say(&json(&outcome.summary)?),
        (false, true) => Ok(()),
        (false, false) => say(&render(&outcome.summary, directory, Style::of_stdout())),
    };
    if args.quiet || args.json || printed.is_err() {
        for problem in &outcome.summary.problems {
            report(LineKind::Error, &printable(problem, MAX_ERROR_CHARS));
        }
        if let Some(warning) = leftovers(&outcome.summary) {
            report(LineKind::Warning, &printable(&warning, MAX_ERROR_CHARS));
        }
        failed(&outcome.summary).for_each(|failed| report(LineKind::Verdict, &failed));
    }
    let reported =
        !outcome.summary.problems.is_empty() || failed(&outcome.summary).next().is_some();
    if args.quiet && !args.json && !reported {
        exit_reasons(&outcome.summary).into_iter().for_each(|why| report(LineKind::Verdict, &why));
    }
    match printed {
        // The terminal may have been closed: nobody can read there, and the results are in files.
        Err(error) if outcome.summary.run.interrupted => {
            report(LineKind::Error, &error.to_string())
        }
        printed => printed?,
    }
    Ok(outcome.summary.exit_code)
}

/// Returns the values of the command line that the manifest may state too, for a command without a
/// target.
fn settings_request(stream: &StreamArgs, bounds: &BoundArgs) -> SettingsRequest {
    let file = stream.input.as_ref().and_then(InputPath::file);
    let duration = bounds.duration.and_then(|duration| stream.origins.given("duration", duration));
    SettingsRequest {
        input: file.map(Path::to_path_buf),
        profile: stream.profile.clone().and_then(|name| stream.origins.given("profile", name)),
        duration,
        ..SettingsRequest::default()
    }
}

/// Settles the values that the manifest may state, and passes those of parameters on to the input.
fn settle(request: &SettingsRequest, input: &mut Input) -> Result<Settings, RunError> {
    let reads = input.reads().clone();
    let settings = request.settle(&mut |path| reads.add(path)).map_err(RunError::invalid)?;
    input.take_parameters_of(&settings).map_err(RunError::invalid)?;
    Ok(settings)
}

/// Prints each value of a run and its origin.
fn explain(args: &RunArgs, input: &Input, settings: &Settings) -> Result<(), RunError> {
    let parameters = match input {
        Input::Script(options) => script::parameter_values(options).map_err(RunError::invalid)?,
        Input::Document { .. } => Vec::new(),
    };
    let login = settings.target.value.login();
    let password_from = login.map(|_| password_source(args.password_file.as_deref()));
    let explanation = Explanation::new(&args.stream, settings, password_from, &parameters);
    let command = if args.watch { "watch" } else { "run" };
    say(&match args.json {
        true => json(&explanation)?,
        false => render_explanation(&explanation, command, &input.location(), Style::of_stdout()),
    })
}

fn ask_password(target: &Target, file: Option<&Path>) -> Result<Option<Password>, RunError> {
    let Some((user, server)) = target.login() else { return Ok(None) };
    let password = password(file, user, &server).map_err(RunError::invalid)?;
    Ok(password.map(Password::new))
}

fn compile(args: &CompileArgs) -> Result<(), RunError> {
    let mut input = input(&args.stream, &args.bounds)?;
    let settings = settle(&settings_request(&args.stream, &args.bounds), &mut input)?;
    let BoundArgs { iterations, operations, .. } = args.bounds;
    // A profile bounds the stream of a script that nothing else bounds.
    let is_bounded = iterations.is_some() || operations.is_some();
    let is_document = matches!(input, Input::Document { .. });
    let duration = settings.duration.filter(|duration| {
        let by_profile = matches!(duration.origin, ValueOrigin::Profile { .. });
        !by_profile || !(is_bounded || is_document)
    });
    let duration_ns = duration.map(|duration| nanoseconds(duration.value));
    let bounds = CompileBounds { operations, duration_ns };
    let output = args
        .output
        .clone()
        .context("--output is missing: name the document to write, or - for standard output");
    let CompileTo { format, path } = output.map_err(RunError::invalid)?;
    let output = match path {
        Some(path) => Destination::File { path, force: args.force },
        None => Destination::Stdout,
    };
    let compiled = match run::compile(&input, bounds, format, &output) {
        // The reader, such as `| head`, has closed the pipe.
        Err(error) if error.is_broken_pipe() => return Ok(()),
        compiled => compiled?,
    };
    for dropped in &compiled.dropped {
        let dropped = printable(dropped, MAX_ERROR_CHARS);
        report(LineKind::Warning, &format!("the document does not have {dropped}"));
    }
    let (operations, ir_hash) = (compiled.operations, compiled.ir_hash);
    let written = format!("{operations} operation{}, ir_hash {ir_hash}", plural(operations));
    report(LineKind::Note, &written);
    if let Some(at_bound) = &compiled.at_bound {
        report(LineKind::Note, at_bound);
    }
    Ok(())
}

fn validate(args: &ValidateArgs) -> Result<(), RunError> {
    let mut input = input(&args.stream, &BoundArgs::default())?;
    settle(&settings_request(&args.stream, &BoundArgs::default()), &mut input)?;
    let name = printable(&input.location(), MAX_ERROR_CHARS);
    let lines = ProgressLines::of_stage(true, format!("checking {name}"));
    let verdict = match &input {
        Input::Script(options) => {
            let compared = script::check(options, Depth::THOROUGH).map_err(RunError::invalid)?;
            let reversed = script::check_order(options).map_err(RunError::invalid)?;
            drop(lines);
            if let Some(first) = reversed.first {
                let count = counted(reversed.count, "pair");
                let at_least = if reversed.at_least { "at least " } else { "" };
                let warning = format!(
                    "in {at_least}{count} of operations one client now uses what another creates only later; the first: {first}"
                );
                report(LineKind::Warning, &printable(&warning, MAX_ERROR_CHARS));
            }
            let script::Compared { header, operations, clients, sections, .. } = compared;
            let all = u64::from(header.workload_clients());
            let whose = match clients as u64 {
                clients if clients == all => "all clients".to_string(),
                clients => format!("{} of the clients", grouped(clients)),
            };
            format!(
                "{name}: valid script, {}, {}; checked the first {} of {whose}{}: they are the same on any number of threads{}\n",
                counted(header.workloads.len() as u64, "workload"),
                counted(all, "client"),
                counted(operations as u64, "operation"),
                script::extent(&sections),
                mode_needed(&header.needs),
            )
        }
        Input::Document { path, options, .. } => {
            let document = document::load(path, options).map_err(RunError::invalid)?;
            drop(lines);
            for warning in document.warnings() {
                report(LineKind::Warning, &printable(&warning.to_string(), MAX_ERROR_CHARS));
            }
            let header = document.header();
            format!(
                "{name}: valid document, {} of {}, ir_hash {}{}\n",
                counted(document.operations(), "operation"),
                counted(u64::from(header.clients()), "client"),
                header.ir_hash,
                mode_needed(&header.needs),
            )
        }
    };
    say(&Style::of_stdout().prose(verdict))
}

/// Returns the fidelity mode that the stream needs, and its first users. Empty for mode 0, which
/// every target has.
fn mode_needed(needs: &[Need]) -> String {
    let modes = needs.iter().map(|need| need.feature.mode());
    let Some(mode) = modes.max().filter(|mode| *mode > 0) else { return String::new() };
    let whose = needs.iter().filter(|need| need.feature.mode() == mode);
    let whose: Vec<String> = whose
        .map(|need| format!("{}, first by {}", need.what, need.whose))
        .map(|need| printable(&need, MAX_ERROR_CHARS))
        .collect();
    format!("; needs fidelity mode {mode} ({})", whose.join("; "))
}

fn new_project(args: &NewArgs) -> Result<(), RunError> {
    let kind = if args.lib { StarterKind::Library } else { StarterKind::Workload };
    let made = starter::create(&args.directory, args.name.as_deref(), kind);
    let made = made.map_err(RunError::invalid)?;
    let directory = printable(&args.directory.display().to_string(), MAX_ERROR_CHARS);
    let next = match &*directory {
        "." => String::new(),
        path if path.contains(char::is_whitespace) => format!("cd \"{path}\"\n"),
        path => format!("cd {path}\n"),
    };
    let text = format!(
        "made the {} {directory}, {}; next:\n{next}smbench run {}\nsmbench test\nand read README.md\n",
        if args.lib { "library" } else { "project" },
        counted(made.len() as u64, "file"),
        if args.lib { "tests/workload.lua" } else { "workload.lua" },
    );
    say(&text)
}

fn write_definitions(args: &DefinitionsArgs) -> Result<(), RunError> {
    let directory = args.directory.as_deref().unwrap_or(Path::new("."));
    let done = editor_definitions::write(directory).map_err(RunError::invalid)?;
    let shown = |path: &Path| printable(&path.display().to_string(), MAX_ERROR_CHARS);
    let mut text: String =
        done.written.iter().map(|path| format!("wrote {}\n", shown(path))).collect();
    let removed = done.removed.iter();
    text.extend(removed.map(|path| format!("removed {}\n", shown(path))));
    text += &match done.written.len() {
        0 if done.removed.is_empty() => {
            format!("the definitions in {} are up to date\n", shown(&done.project))
        }
        written => format!(
            "wrote {} in {}, left {} as {}\n",
            counted(written as u64, "file"),
            shown(&done.project),
            counted(done.unchanged as u64, "file"),
            if done.unchanged == 1 { "it is" } else { "they are" }
        ),
    };
    say(&text)
}

fn list_targets(args: &ListArgs) -> Result<(), RunError> {
    // The kinds of targets are there whatever is wrong with a manifest.
    let named = SettingsRequest::default().named_targets().unwrap_or_else(|error| {
        report(LineKind::Warning, &printable(&error.to_string(), MAX_ERROR_CHARS));
        Vec::new()
    });
    let list = TargetList::new(&named);
    say(&match args.json {
        true => json(&list)?,
        false => render_targets(&list, Style::of_stdout()),
    })
}

fn scripts(args: &ScriptsArgs) -> Result<(), RunError> {
    match &args.what {
        Some(ScriptsCommand::Show(args)) => say(args.script.source),
        Some(ScriptsCommand::List(args)) if args.json => say(&json(&ScriptList::default())?),
        Some(ScriptsCommand::List(_)) | None => {
            say(&render_scripts(&READY_WORKLOADS, Style::of_stdout()))
        }
    }
}

fn probe(args: &ProbeArgs) -> Result<u8, RunError> {
    let target = Some(Given { value: args.target.clone(), origin: ValueOrigin::Argument });
    let request = SettingsRequest { target, ..SettingsRequest::default() };
    let target = request.settle(&mut |_| ()).map_err(RunError::invalid)?.target.value;
    let options = ProbeOptions {
        password: ask_password(&target, args.password_file.as_deref())?,
        target,
        operation_timeout: args.op_timeout,
        timeout: args.timeout,
        at_a_time: args.jobs,
        progress: !args.quiet,
    };
    standard_error::never_wait();
    let report = run::probe(&options);
    standard_error::settle();
    let report = report?;
    if args.json {
        say(&json(&report)?)?;
    } else if !args.quiet {
        say(&render_probe(&report, Style::of_stdout()))?;
    }
    if args.quiet || args.json {
        for left in &report.left_behind {
            let left = printable(left, MAX_ERROR_CHARS);
            standard_error::report(LineKind::Error, &format!("left on the server: {left}"));
        }
    }
    Ok(report.exit_code)
}

fn libraries(args: &LibraryArgs) -> Result<u8, RunError> {
    let mut name = None;
    let change = match &args.what {
        LibraryCommand::Add(args) => {
            name = Some(&*args.name);
            let add = |options: &_| run::add_library(options, &args.name, &args.source(), args.dev);
            library::with_progress(add).map(Some)
        }
        LibraryCommand::Remove(args) => {
            library::with_progress(|options| run::remove_library(options, &args.name))
        }
        LibraryCommand::Lock => library::with_progress(run::lock_libraries),
        LibraryCommand::Sync => library::with_progress(run::sync_libraries),
        LibraryCommand::Update(args) => {
            library::with_progress(|options| run::update_libraries(options, &args.update()))
        }
        LibraryCommand::Vendor => library::with_progress(run::vendor_libraries),
        LibraryCommand::List(args) => {
            let lock = run::locked_libraries()?;
            let text = match lock {
                lock if args.json => json(&LibraryList::new(&lock.unwrap_or_default()))?,
                Some(lock) => library::tree(&lock),
                None => NO_LIBRARIES.into(),
            };
            return say(&text).map(|()| 0);
        }
        LibraryCommand::Verify => return verify_libraries(),
        LibraryCommand::Docs(args) => {
            return say(&run::library_docs(args.name.as_deref())?).map(|()| 0);
        }
    };
    let Some(change) = change? else { return say(NO_LIBRARIES).map(|()| 0) };
    for warning in &change.warnings {
        report(LineKind::Warning, &printable(warning, MAX_ERROR_CHARS));
    }
    say(&library::described(name, &change)).map(|()| 0)
}

/// Prints a line for each package, and returns the exit code.
fn verify_libraries() -> Result<u8, RunError> {
    let Some(checked) = run::verify_libraries()? else { return say(NO_LIBRARIES).map(|()| 0) };
    let mut code = 0;
    for one in checked {
        match one.outcome {
            Ok(place) => {
                say(&format!("{}\n", printable(&format!("{}: {place}", one.id), MAX_ERROR_CHARS)))?
            }
            Err(problem) => {
                let problem = format!("{}: {problem}", one.id);
                report(LineKind::Error, &printable(&problem, MAX_ERROR_CHARS));
                code = RunError::invalid(anyhow::Error::msg(problem)).exit_code();
            }
        }
    }
    Ok(code)
}

fn scan(args: &ScanArgs) -> Result<(), RunError> {
    let output = match args.output.as_os_str().as_encoded_bytes() {
        b"-" => Destination::Stdout,
        _ => Destination::File { path: args.output.clone(), force: args.force },
    };
    let scanned = match run::scan(&args.directory, args.names, &output) {
        // The reader, such as `| head`, has closed the pipe.
        Err(error) if error.is_broken_pipe() => return Ok(()),
        scanned => scanned?,
    };
    let (line, warning) = described(&scanned);
    report(LineKind::Note, &line);
    if let Some(warning) = warning {
        report(LineKind::Warning, &printable(&warning, MAX_ERROR_CHARS));
    }
    Ok(())
}

fn test(args: &TestArgs) -> Result<u8, RunError> {
    let options = TestRunOptions {
        paths: args.paths.clone(),
        filter: args.filter.clone(),
        jobs: args.jobs(),
        timeout: args.timeout,
        limits: args.limits.script_limits(),
        update: args.update,
        on_ci: is_ci(),
    };
    let began = Instant::now();
    let not_kept = |error| RunError::new(ExitReason::ResultsNotKept, error);
    if let Some(path) = &args.junit {
        // Finds out whether the file can be written, and replaces the results of earlier tests.
        Junit::new().write(path, Duration::ZERO).map_err(not_kept)?;
    }
    let mut summary = TestSummary::new(Style::of_stdout());
    let mut junit = Junit::new();
    let ending = run::test(&options, |report| {
        junit.add(report);
        print(&summary.add(report)).context("standard output")
    })?;
    junit.add_files_left(&ending.files_left);
    let said = say(&summary.finish(&ending, began.elapsed()));
    if let Some(path) = &args.junit {
        junit.write(path, began.elapsed()).map_err(not_kept)?;
    }
    said?;
    Ok(ending.exit_code)
}

fn serve(args: &ServeArgs) -> Result<(), RunError> {
    let mut options = ServeOptions {
        listen: args.listen,
        user: args.user.clone(),
        password: None,
        storage: match &args.dir {
            Some(directory) => Storage::Directory(directory.clone()),
            None => Storage::Memory(MemoryLimits::default()),
        },
        read_only: args.read_only,
    };
    options.check()?;
    let asked = password(args.password_file.as_deref(), options.user(), &args.listen.to_string());
    options.password = asked.map_err(RunError::invalid)?.map(Password::new);
    run::serve(&options, |url| say(&format!("{url}\n")))
}

fn man(args: &ManArgs) -> Result<(), RunError> {
    match &args.directory {
        Some(directory) => manual::write_pages(definitions(), directory).with_context(|| {
            let directory = directory.display();
            format!("cannot write the manual pages into {directory}; name a directory that can be written")
        }),
        None => manual::page(definitions())
            .and_then(|page| print(&page))
            .context("cannot write standard output"),
    }
    .map_err(RunError::invalid)
}

fn json(value: &impl serde::Serialize) -> Result<String, RunError> {
    let text = serde_json::to_string_pretty(value).context("the report is no JSON");
    Ok(text.map_err(RunError::internal)? + "\n")
}

/// Returns an error if there is no file at `path` and advice on it: the file that was most likely
/// meant, or the directory that is missing.
fn check_is_there(path: &Path) -> Result<(), RunError> {
    let Err(error) = path.metadata() else { return Ok(()) };
    let advice = advice(path);
    if error.kind() != ErrorKind::NotFound || advice.is_empty() {
        // The code that reads the file reports what is wrong.
        return Ok(());
    }
    let path = path.display();
    Err(RunError::invalid(anyhow::anyhow!("cannot read {path}: {error}{advice}")))
}

fn input(stream: &StreamArgs, bounds: &BoundArgs) -> Result<Input, RunError> {
    let named = stream.input.as_ref().context("no script or document is named");
    let named = named.map_err(RunError::invalid)?;
    named.file().map_or(Ok(()), check_is_there)?;
    let blob_directories = stream.allow_blobs.clone();
    Ok(match named {
        InputPath::Script(location) => Input::Script(ScriptOptions {
            location: location.clone(),
            params: stream.params.clone(),
            param_files: stream.param_files.clone(),
            seed: stream.seed,
            clients: stream.clients.clone(),
            iterations: bounds.iterations,
            strict: stream.strict,
            blob_directories,
            limits: stream.limits.script_limits(),
            ..ScriptOptions::default()
        }),
        InputPath::Document(path) => {
            let path = path.clone();
            let options = LoadOptions { strict: stream.strict, blob_directories };
            // A variable may name workloads of scripts.
            let all = stream.clients.iter().rfind(|clients| clients.workload.is_none());
            let clients = all.map(|clients| clients.clients);
            let scaling = DocumentScaling { clients, iterations: bounds.iterations };
            let (reload, reads) = (None, ReadFiles::default());
            Input::Document { path, options, seed: stream.seed, scaling, reload, reads }
        }
    })
}

fn say(text: &str) -> Result<(), RunError> {
    let printed = print(text).context("cannot write standard output");
    printed.map_err(|error| RunError::new(ExitReason::ResultsNotKept, error))
}
