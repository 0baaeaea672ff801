//! The operations that the ready workloads really make, held against the published figures
//! (`published.rs`).

use std::collections::HashMap;

use super::published::{
    Class, EXISTING, FILE_SIZES, OFFICE, OFFICE_CREATED, OFFICE_MISSING, OFFICE_READS,
    OFFICE_WRITES, Order, PUBLISHED, Published, Share,
};
use super::*;
use crate::ir::{
    Due, FileControl, HandleOperation, HandleRef, OpenMode, OperationKind, OperationType,
    PathOperation,
};
use crate::protocol::NtStatus;
use crate::protocol::create::CreateDisposition;
use crate::script::{ReadyWorkload, ScriptLocation};

/// The largest difference between a share and the published one, in points of percent.
const POINTS: f64 = 2.0;

fn load(script: &str, params: &[(&str, &str)], iterations: u32) -> Script {
    let options = ScriptOptions {
        location: ScriptLocation::Ready(ReadyWorkload::find(script).unwrap()),
        params: params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        iterations: Some(iterations),
        ..ScriptOptions::default()
    };
    Script::load(&options).unwrap_or_else(|error| panic!("{script}: {error}"))
}

fn pull(script: &mut Script, client: u32, section: Section) -> Vec<Operation> {
    let mut operations = Vec::new();
    while script.pull(client, section, 1_000, &mut operations).unwrap() == Progress::More {}
    operations
}

/// Returns the clients of a workload.
fn clients_of(script: &Script, workload: &str) -> Vec<u32> {
    let header = script.header();
    let of = |client: &u32| {
        let (at, _) = header.workload_of(*client).unwrap();
        &*header.workloads[at].name == workload
    };
    let clients: Vec<u32> = (0..header.workload_clients()).filter(of).collect();
    assert!(!clients.is_empty(), "no workload {workload}");
    clients
}

/// Returns the letter of an SMB operation in the sequences of `Share::wire`.
fn letter(operation: &Operation) -> char {
    match &operation.kind {
        OperationKind::Open(open) => match open.mode {
            OpenMode::Read => 'r',
            OpenMode::Write => 'w',
            OpenMode::ReadWrite => 'b',
        },
        OperationKind::OnHandle(_, on) => match on {
            HandleOperation::Read { .. } => 'R',
            HandleOperation::Write { .. } => 'W',
            HandleOperation::Close => 'C',
            HandleOperation::Control(FileControl::Flush) => 'F',
            HandleOperation::Control(FileControl::Lock { .. }) => 'K',
            HandleOperation::Control(FileControl::Unlock { .. }) => 'U',
            HandleOperation::Control(FileControl::Truncate { .. }) => 'T',
        },
        OperationKind::ByPath(by_path) => match by_path {
            PathOperation::Stat { .. } => 'S',
            PathOperation::List { .. } => 'L',
            PathOperation::Delete { .. } => 'D',
            PathOperation::Mkdir { .. } => 'M',
            PathOperation::Rename { .. } => 'N',
            PathOperation::Rmdir { .. } => 'X',
        },
    }
}

/// Returns the sequence of operations, with one letter for several of the same in a row.
fn wire(operations: &[Operation]) -> String {
    let mut letters: Vec<char> = operations.iter().map(letter).collect();
    letters.dedup();
    letters.into_iter().collect()
}

/// Splits the operations of iterations into application operations. Each belongs to a step.
fn occurrences(operations: &[Operation]) -> impl Iterator<Item = (&str, &[Operation])> {
    let step = |operation: &Operation| operation.step.as_ref().map(|step| step.outermost().number);
    let parts = operations.chunk_by(move |one, other| {
        let place =
            |operation: &Operation| (operation.client_idx, operation.iteration, step(operation));
        place(one) == place(other)
    });
    parts.map(|part| {
        let step = part[0].step.as_ref().expect("each operation belongs to a step");
        (&*step.outermost().name, part)
    })
}

/// The files on the server, and the places of transfers in them.
#[derive(Default)]
struct Files {
    /// The length of each file by its path.
    lengths: HashMap<String, u64>,
    /// The path of each open file.
    open: HashMap<(u32, HandleRef), String>,
    /// The end of the last transfer by handle and step.
    ends: HashMap<(u32, HandleRef), HashMap<String, u64>>,
    /// The number of transfers of steps with random places, and of those that go on where the one
    /// before ended.
    random: u32,
    continued: u32,
}

impl Files {
    /// Applies one operation, and checks the place of a transfer. `parts` holds the place after the
    /// last transfer of the application operation on each handle.
    fn apply(
        &mut self,
        operation: &Operation,
        step: &str,
        order: Order,
        parts: &mut HashMap<HandleRef, u64>,
    ) {
        let client = operation.client_idx;
        match &operation.kind {
            OperationKind::Open(open) => {
                let path = open.path.to_string();
                if open.mode == OpenMode::Write {
                    self.lengths.insert(path.clone(), 0);
                } else if open.mode == OpenMode::ReadWrite {
                    self.lengths.entry(path.clone()).or_default();
                }
                self.open.insert((client, open.handle_ref), path);
                self.ends.remove(&(client, open.handle_ref));
                parts.remove(&open.handle_ref);
            }
            OperationKind::OnHandle(handle, on) => {
                let Some(path) = self.open.get(&(client, *handle)).cloned() else {
                    panic!("{step}: an operation on a handle that is not open");
                };
                let known = self.lengths.get(&path).copied();
                match on {
                    HandleOperation::Read { offset, length } => {
                        let size = known.unwrap_or_else(|| panic!("{step}: {path} is missing"));
                        self.place(client, *handle, step, order, (*offset, *length));
                        if matches!(order, Order::Whole | Order::Append) {
                            let next = parts.entry(*handle).or_default();
                            assert_eq!(*offset, *next, "{step}: {path}");
                            assert!(*offset < size.max(1), "{step}: reads {path} beyond its end");
                            *next += length;
                            let is_last = *next >= size;
                            parts.entry(*handle).and_modify(|next| {
                                // Marks a file that was read to its end.
                                if is_last {
                                    *next = u64::MAX;
                                }
                            });
                        }
                    }
                    HandleOperation::Write { offset, length, .. } => {
                        self.place(client, *handle, step, order, (*offset, *length));
                        let size = known.unwrap_or(0);
                        match order {
                            Order::Whole => assert_eq!(*offset, size, "{step}: {path}"),
                            Order::Append => {
                                assert_eq!(*offset, size, "{step}: {path}");
                            }
                            _ => {}
                        }
                        self.lengths.insert(path, size.max(offset + length));
                    }
                    HandleOperation::Close => {
                        let read_to = parts.get(handle).copied().unwrap_or(u64::MAX);
                        assert_eq!(read_to, u64::MAX, "{step}: {path} is not read to its end");
                        self.open.remove(&(client, *handle));
                    }
                    HandleOperation::Control(_) => {}
                }
            }
            OperationKind::ByPath(PathOperation::Delete { path }) => {
                assert!(self.lengths.remove(path.as_str()).is_some(), "{step}: {path} is missing");
            }
            OperationKind::ByPath(PathOperation::Rename { source_path, dest_path, .. }) => {
                let length = self.lengths.remove(source_path.as_str()).expect("the file exists");
                self.lengths.insert(dest_path.to_string(), length);
            }
            OperationKind::ByPath(_) => {}
        }
    }

    fn place(
        &mut self,
        client: u32,
        handle: HandleRef,
        step: &str,
        order: Order,
        (offset, length): (u64, u64),
    ) {
        let ends = self.ends.entry((client, handle)).or_default();
        let before = ends.insert(step.to_string(), offset + length);
        match (order, before) {
            (Order::Sequential, before) => {
                let goes_on = offset == 0 || before == Some(offset);
                assert!(goes_on, "{step}: {offset} after {before:?}");
            }
            (Order::Random, Some(before)) => {
                self.random += 1;
                self.continued += u32::from(before == offset);
            }
            _ => {}
        }
    }
}

/// Compares the shares of the classes with the published ones. `rest` is the published share of the
/// sizes that are in no class.
fn compare_classes(what: &str, classes: &[Class], sizes: &[u64], rest: f64) {
    if classes.is_empty() {
        return;
    }
    assert!(sizes.len() >= 500, "{what}: only {} sizes", sizes.len());
    let published: f64 = classes.iter().map(|class| class.percent).sum();
    assert!((published + rest - 100.0).abs() < 0.2, "{what}: {published} % are published");
    let percent = |count: usize| count as f64 * 100.0 / sizes.len() as f64;
    let mut found = 0;
    for class in classes {
        let within = |size: &&u64| (class.low..=class.high).contains(size);
        let count = sizes.iter().filter(within).count();
        found += count;
        let (share, expected) = (percent(count), class.percent);
        assert!(
            (share - expected).abs() <= POINTS,
            "{what}: {share:.1} % have {} to {} bytes, published {expected} %",
            class.low,
            class.high
        );
    }
    let other = percent(sizes.len() - found);
    assert!((other - rest).abs() <= POINTS, "{what}: {other:.1} % are in no class");
    assert!(rest > 0.0 || found == sizes.len(), "{what}: a size is in no class");
}

fn transfers(operations: &[Operation], writes: bool) -> Vec<u64> {
    let length = |operation: &Operation| match &operation.kind {
        OperationKind::OnHandle(_, HandleOperation::Read { length, .. }) if !writes => {
            Some(*length)
        }
        OperationKind::OnHandle(_, HandleOperation::Write { length, .. }) if writes => {
            Some(*length)
        }
        _ => None,
    };
    operations.iter().filter_map(length).collect()
}

fn check(published: &Published) {
    let Published { script, workload, params, iterations, .. } = published;
    let what = format!("@scripts/{script}, workload {workload}");
    let mut loaded = load(script, params, *iterations);
    let clients = clients_of(&loaded, workload);
    let run_wide = loaded.header().run_client.then(|| loaded.header().workload_clients());
    let mut files = Files::default();
    for client in run_wide.into_iter().chain(clients.iter().copied()) {
        for operation in pull(&mut loaded, client, Section::Setup) {
            files.apply(&operation, "setup", Order::Any, &mut HashMap::new());
        }
    }
    let mut made = Vec::new();
    for client in &clients {
        made.extend(pull(&mut loaded, *client, Section::Iteration));
    }

    let mut counts: HashMap<&str, u32> = HashMap::new();
    let (mut writing, mut flushing) = (0, 0);
    for (step, operations) in occurrences(&made) {
        let Some(share) = published.operations.iter().find(|share| share.step == step) else {
            panic!("{what}: nothing is published about {step}");
        };
        let sequence = wire(operations);
        assert!(share.wire.contains(&&*sequence), "{what}: {step} is {sequence}");
        let mut parts = HashMap::new();
        for operation in operations {
            files.apply(operation, step, share.order, &mut parts);
        }
        *counts.entry(share.step).or_default() += 1;
        if sequence.contains('W') {
            writing += 1;
            flushing += u32::from(sequence.contains('F'));
        }
    }

    let all: u32 = counts.values().sum();
    assert!(all >= 100 && made.len() >= 400, "{what}: only {all} operations");
    let in_all: f64 = published.operations.iter().map(|share| share.percent).sum();
    for Share { step, percent, .. } in published.operations {
        let share = f64::from(counts.get(step).copied().unwrap_or(0)) * 100.0 / f64::from(all);
        let expected = percent * 100.0 / in_all;
        assert!(
            (share - expected).abs() <= POINTS && share > 0.0,
            "{what}: {share:.1} % {step}, published {expected:.1} %"
        );
    }
    if let Some(expected) = published.flushed {
        let share = f64::from(flushing) * 100.0 / f64::from(writing.max(1));
        assert!((share - expected).abs() <= POINTS, "{what}: {share:.1} % of writes are flushed");
    }
    let continued = f64::from(files.continued) / f64::from(files.random.max(1));
    assert!(continued < 0.05, "{what}: {continued} of random places are sequential");
    compare_classes(&format!("{what}, reads"), published.reads, &transfers(&made, false), 0.0);
    compare_classes(&format!("{what}, writes"), published.writes, &transfers(&made, true), 0.0);
    if let Some(rate) = published.rate {
        let at = |operation: &Operation| match operation.due {
            Due::Arrival { at_ns, .. } => Some(at_ns),
            _ => None,
        };
        let last = made.iter().filter_map(at).max().expect("iterations arrive");
        let found = f64::from(*iterations) * 1e9 / last as f64;
        assert!((found / rate - 1.0).abs() < 0.05, "{what}: {found} iterations/s of a client");
    }
}

/// Checks the published workloads of these scripts. They are several tests so that they run at the
/// same time.
fn check_scripts(scripts: &[&str]) {
    for script in scripts {
        let published: Vec<_> = PUBLISHED.iter().filter(|one| one.script == *script).collect();
        assert!(!published.is_empty(), "{script}");
        published.into_iter().for_each(check);
    }
}

#[test]
fn a_software_build_and_a_genomics_job_have_the_published_mix() {
    check_scripts(&["software_build", "genomics"]);
}

#[test]
fn video_capture_and_chip_design_have_the_published_mix() {
    check_scripts(&["video_capture", "chip_design"]);
}

#[test]
fn image_training_has_the_published_mix() {
    check_scripts(&["image_training"]);
}

#[test]
fn the_loops_of_filebench_have_the_published_mix() {
    check_scripts(&["fileserver", "varmail", "webserver", "network_file_server"]);
}

#[test]
fn users_do_the_ten_scenarios_equally_often_and_a_logon_has_all_of_its_parts() {
    check_scripts(&["home_directories", "logon_storm"]);
}

#[test]
fn every_workload_of_every_ready_script_is_held_against_figures() {
    for ready in &crate::script::READY_WORKLOADS {
        let script = load(ready.name, &[], 1);
        for workload in &*script.header().workloads {
            let found = PUBLISHED
                .iter()
                .any(|one| one.script == ready.name && one.workload == &*workload.name);
            // The figures on the office are those of SMB operations.
            assert!(found || ready.name == "office", "{ready}: {}", workload.name);
        }
    }
}

#[test]
fn the_office_has_the_published_mix_of_smb_operations() {
    let mut script = load("office", &[], 1_500);
    let clients = clients_of(&script, "clients");
    let mut made = Vec::new();
    for client in clients {
        pull(&mut script, client, Section::Setup);
        made.extend(pull(&mut script, client, Section::Iteration));
    }
    // Opens are one kind of operation here.
    let kind = |operation: &Operation| match letter(operation) {
        'r' | 'w' | 'b' => 'o',
        other => other,
    };
    let percent = |count: usize, of: usize| count as f64 * 100.0 / of as f64;
    let of_kind = |wanted: char| made.iter().filter(move |one| kind(one) == wanted);
    let in_all: f64 = OFFICE.iter().map(|(_, percent)| percent).sum();
    for (wanted, published) in OFFICE {
        let share = percent(of_kind(wanted).count(), made.len());
        let expected = published * 100.0 / in_all;
        assert!(
            (share - expected).abs() <= POINTS && share > 0.0,
            "{share:.2} % of the operations are {wanted}, published {expected:.2} %"
        );
    }
    let known = |operation: &&Operation| OFFICE.iter().any(|(one, _)| *one == kind(operation));
    assert_eq!(made.iter().filter(known).count(), made.len(), "an operation that is not published");
    for (wanted, published) in OFFICE_MISSING {
        let finds_nothing = |operation: &&Operation| match &operation.kind {
            OperationKind::ByPath(PathOperation::List { pattern, .. }) => &**pattern == "*.JNK",
            _ => !operation.expect.allows(NtStatus::SUCCESS, operation.operation_type()),
        };
        let missing = of_kind(wanted).filter(finds_nothing).count();
        let share = percent(missing, of_kind(wanted).count());
        assert!((share - published).abs() <= POINTS, "{share:.1} % of {wanted} find nothing");
    }
    let creates = |operation: &&Operation| {
        matches!(&operation.kind, OperationKind::Open(open)
        if open.disposition == CreateDisposition::Create
            || open.extensions.as_ref().is_some_and(|it| {
                it.disposition == Some(CreateDisposition::Create)
            }))
    };
    let share = percent(of_kind('o').filter(creates).count(), of_kind('o').count());
    assert!((share - OFFICE_CREATED).abs() <= POINTS, "{share:.1} % of opens create");
    compare_classes("office, reads", OFFICE_READS, &transfers(&made, false), 9.7);
    compare_classes("office, writes", OFFICE_WRITES, &transfers(&made, true), 16.9);
    let locks = made.iter().filter(|one| one.operation_type() == OperationType::Lock);
    for lock in locks {
        let OperationKind::OnHandle(
            _,
            HandleOperation::Control(FileControl::Lock { offset, length, .. }),
        ) = &lock.kind
        else {
            panic!("{lock:?}");
        };
        assert_eq!((*offset, *length), (2_147_483_538, 1));
    }
}

/// Returns the sizes of the files that setups write below a directory of the script.
fn sizes_in_setup(script: &str, params: &[(&str, &str)], directory: &str) -> Vec<u64> {
    let mut loaded = load(script, params, 1);
    let header = loaded.header();
    let clients = header.workload_clients();
    let run_wide = header.run_client.then_some(clients);
    let mut files = Files::default();
    for client in run_wide.into_iter().chain(0..clients) {
        for operation in pull(&mut loaded, client, Section::Setup) {
            files.apply(&operation, "setup", Order::Any, &mut HashMap::new());
        }
    }
    let prefix = format!("smbench-{}/{directory}", script.replace('_', "-"));
    let of_set = files.lengths.iter().filter(|(path, _)| path.starts_with(&prefix));
    of_set.map(|(_, length)| *length).collect()
}

#[test]
fn the_sizes_of_files_are_those_that_were_published() {
    for sizes in FILE_SIZES {
        let what = format!("@scripts/{}: {}", sizes.script, sizes.directory);
        let found = sizes_in_setup(sizes.script, sizes.params, sizes.directory);
        if let Some(mean) = sizes.mean {
            let total: u64 = found.iter().sum();
            let share = total as f64 / found.len() as f64 / mean;
            assert!((share - 1.0).abs() < 0.05, "{what}: {share} times the mean");
        }
        match sizes.classes {
            [only] if only.low == only.high => {
                assert!(!found.is_empty() && found.iter().all(|size| *size == only.low), "{what}");
            }
            classes => compare_classes(&what, classes, &found, 0.0),
        }
    }
}

#[test]
fn the_share_of_files_that_exist_at_first_is_the_published_one() {
    for (script, expected) in EXISTING {
        let files = "1000";
        let found = sizes_in_setup(script, &[("files", files)], "").len();
        let share = found as f64 / 10.0;
        assert!((share - expected).abs() <= POINTS, "@scripts/{script}: {share} %");
    }
}
