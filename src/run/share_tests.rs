//! Tests of `--prepare` and `--clean` with random streams on a model of a share.

use std::collections::{BTreeMap, BTreeSet};

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::made_paths::{Change, MadePaths, NameChange};
use super::share_model::ShareModel;
use crate::ir::prerequisites::PrerequisiteFinder;
use crate::ir::{
    CompletionEvent, CompletionStatus, Execution, Expect, Failure, HandleOperation, HandleRef,
    OpenMode, OpenOperation, Operation, OperationKind, OperationTimes, PathOperation, Pattern,
    Payload,
};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{CreateAction, FileId, Granted, NtStatus, SharePath};

const SEEDS: u64 = 2_000;
const OPERATIONS: usize = 40;
const CLIENTS: u64 = 3;
const PATHS: [&str; 9] = ["A", "B", "D", "D/X", "D/Y", "D/E", "D/E/X", "F", "F/X"];

struct Chance(SplitMix64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn path(&mut self) -> SharePath {
        SharePath::new(PATHS[self.below(PATHS.len() as u64) as usize]).unwrap()
    }

    fn share(&mut self) -> ShareModel {
        let mut share = ShareModel::default();
        for path in PATHS {
            if self.below(2) == 0 && !path.split('/').any(|name| name == "A") {
                let is_directory = ["D", "D/E", "F"].contains(&path);
                share.add(path, is_directory, 100 * self.below(3));
            }
        }
        share
    }

    fn kind(&mut self) -> OperationKind {
        let (path, handle_ref) = (self.path(), HandleRef(self.below(2) as u32));
        let (offset, length) = (50 * self.below(4), 50);
        match self.below(14) {
            0..=3 => OperationKind::Open(OpenOperation {
                path,
                mode: OpenMode::ReadWrite,
                disposition: CreateDisposition::ALL[self.below(6) as usize],
                handle_ref,
                extensions: None,
            }),
            4 | 5 => HandleOperation::Read { offset, length }.on(handle_ref),
            6 => {
                let payload = Payload::Pattern(Pattern::Zero);
                HandleOperation::Write { offset, length, payload }.on(handle_ref)
            }
            7 => PathOperation::Mkdir { path }.into(),
            8 => PathOperation::Delete { path }.into(),
            9 => PathOperation::Rmdir { path }.into(),
            10 => PathOperation::Stat { path }.into(),
            11 => PathOperation::List { path, pattern: "*".into() }.into(),
            _ => {
                let (dest_path, replace) = (self.path(), self.below(2) == 0);
                PathOperation::Rename { source_path: path, dest_path, replace }.into()
            }
        }
    }
}

/// Records a random stream on a random share, prepares an empty share for it, and runs it there: every
/// operation must end as it did when it was recorded.
#[test]
fn a_recorded_stream_ends_the_same_on_a_share_that_holds_no_more_than_what_was_prepared() {
    let mut prepared_items = 0;
    for seed in 0..SEEDS {
        let mut chance = Chance(SplitMix64::seed_from_u64(seed));
        let mut recorded_on = chance.share();
        let before = recorded_on.clone();
        let mut stream = Vec::new();
        for seq in 0..OPERATIONS {
            let (client, kind) = (chance.below(CLIENTS) as u32, chance.kind());
            let share = recorded_on.clone();
            let answer = recorded_on.execute(client, &kind);
            let expect = match answer.status {
                NtStatus::SUCCESS => Expect::Default,
                NtStatus::OBJECT_NAME_NOT_FOUND
                | NtStatus::OBJECT_PATH_NOT_FOUND
                | NtStatus::OBJECT_NAME_COLLISION
                | NtStatus::FILE_IS_A_DIRECTORY
                | NtStatus::NOT_A_DIRECTORY => Expect::Statuses([answer.status].into()),
                // Such failures depend on more than what exists at the path.
                _ => {
                    recorded_on = share;
                    continue;
                }
            };
            // Some failures do not show what exists. A path that a rename does not find may be that
            // of the source or of the destination, and what is in the way of a new directory may be
            // a file.
            let is_ambiguous = match &kind {
                OperationKind::ByPath(PathOperation::Rename { .. }) => {
                    answer.status == NtStatus::OBJECT_PATH_NOT_FOUND
                }
                OperationKind::ByPath(PathOperation::Mkdir { path }) => {
                    let found = share.items.get(&path.folded());
                    found.is_some_and(|item| !item.is_directory)
                }
                _ => false,
            };
            if is_ambiguous {
                recorded_on = share;
                continue;
            }
            stream.push((Operation { expect, ..Operation::new(client, seq as u32, kind) }, answer));
        }
        let mut finder = PrerequisiteFinder::default();
        for (operation, _) in &stream {
            finder.operation(operation).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        let needed = finder.finish().unwrap();
        let mut share = ShareModel::default();
        for directory in &needed.directories {
            share.add(directory.as_str(), true, 0);
        }
        for file in &needed.files {
            share.add(file.path.as_str(), false, file.size);
        }
        prepared_items += share.items.len();
        for (path, item) in &share.items {
            // A file that was made by an open and then read is prepared, because it cannot be
            // distinguished from one that existed.
            let was_there = before.items.contains_key(path);
            assert!(was_there || !item.is_directory, "seed {seed}: {path} was not there");
        }
        for (operation, recorded) in &stream {
            let answer = share.execute(operation.client_idx, &operation.kind);
            let same = answer.status == recorded.status && answer.bytes >= recorded.bytes;
            assert!(
                same,
                "seed {seed}: {operation:?}\n{answer:?}, recorded {recorded:?}\n{needed:?}"
            );
        }
    }
    assert!(prepared_items > SEEDS as usize, "the test is blind: {prepared_items}");
}

/// An operation in flight: when it was sent, carried out and answered.
struct Flight {
    from_ns: u64,
    to_ns: u64,
    kind: OperationKind,
    client: u32,
    is_answered: bool,
}

fn completion(flight: &Flight, status: NtStatus, action: Option<CreateAction>) -> CompletionEvent {
    let granted = |action| Granted {
        file_id: FileId { persistent: 0, volatile: 0 },
        disk_file_id: None,
        action,
        oplock: OplockLevel::None,
        lease: None,
        durable: None,
    };
    let status = match flight.is_answered {
        true => CompletionStatus::Succeeded(status),
        false => CompletionStatus::Failed(Failure::TimedOut),
    };
    let granted = action.filter(|_| flight.is_answered).map(granted).map(Box::new);
    let execution = Execution { granted, ..Execution::of(status) };
    let (issued_ns, completed_ns) = (flight.from_ns, flight.to_ns);
    let times = OperationTimes { issued_ns, completed_ns, ..OperationTimes::default() };
    CompletionEvent::new(Operation::new(flight.client, 0, flight.kind.clone()), execution, times)
}

/// Returns the share after a run of random operations, the numbers of the items that existed before
/// it, and the changes in the order in which they ended.
fn random_run(seed: u64, overlaps: bool) -> (ShareModel, BTreeSet<u64>, Vec<NameChange>) {
    let mut chance = Chance(SplitMix64::seed_from_u64(seed));
    let mut share = chance.share();
    let before = share.items.values().map(|item| item.number).collect();
    let mut free_ns = BTreeMap::new();
    let mut carried_out = BTreeMap::new();
    for number in 0..OPERATIONS as u64 {
        let client = chance.below(CLIENTS);
        let free = free_ns.entry(if overlaps { client } else { 0 }).or_insert(0);
        let from_ns = *free + 100 * chance.below(10);
        let at_ns = from_ns + 1 + 100 * chance.below(10) + number;
        let to_ns = at_ns + 1 + 100 * chance.below(10);
        *free = to_ns;
        let is_answered = !overlaps || chance.below(8) > 0;
        let kind = chance.kind();
        let flight = Flight { from_ns, to_ns, kind, client: client as u32, is_answered };
        carried_out.insert((at_ns, number), flight);
    }
    let mut ended: Vec<(u64, CompletionEvent)> = Vec::new();
    for flight in carried_out.values() {
        let answer = share.execute(flight.client, &flight.kind);
        ended.push((flight.to_ns, completion(flight, answer.status, answer.action)));
    }
    ended.sort_by_key(|(to_ns, _)| *to_ns);
    let changes = ended.iter().filter_map(|(_, completion)| NameChange::of(completion));
    (share, before, changes.collect())
}

fn made_by(changes: &[NameChange]) -> MadePaths {
    let mut made = MadePaths::default();
    changes.iter().cloned().for_each(|change| made.apply(change));
    made
}

/// Returns the folded paths to which a rename that replaces moved something, and those to which
/// this was moved later.
fn targets_of_replacing_renames(changes: &[NameChange]) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    for change in changes {
        let Change::Renamed { from, to, replace } = &change.what else { continue };
        let (from, to) = (from.folded(), to.folded());
        let moved = |target: &String| {
            let below = target.strip_prefix(&from)?;
            (below.is_empty() || below.starts_with('/')).then(|| format!("{to}{below}"))
        };
        let moved: Vec<String> = targets.iter().filter_map(moved).collect();
        targets.extend(moved);
        if *replace {
            targets.insert(to);
        }
    }
    targets
}

#[test]
fn nothing_that_existed_before_is_ever_removed_whatever_overlaps() {
    let (mut removed, mut doubtful) = (0, 0);
    for seed in 0..SEEDS * 3 {
        let (share, before, changes) = random_run(seed, true);
        for leftover in made_by(&changes).leftovers() {
            let Some(item) = share.items.get(&leftover.path.folded()) else { continue };
            if leftover.is_doubtful {
                doubtful += 1;
                continue;
            }
            removed += 1;
            assert!(!before.contains(&item.number), "seed {seed}: {leftover:?}");
        }
    }
    assert!(removed > SEEDS && doubtful > SEEDS, "the test is blind: {removed}, {doubtful}");
}

#[test]
fn without_overlaps_everything_that_was_made_is_known_and_only_replacing_leaves_doubt() {
    let mut doubtful = 0;
    for seed in 0..SEEDS {
        let (share, before, changes) = random_run(seed, false);
        let leftovers: BTreeMap<String, bool> = made_by(&changes)
            .leftovers()
            .into_iter()
            .map(|leftover| (leftover.path.folded(), leftover.is_doubtful))
            .collect();
        for (path, item) in &share.items {
            let is_known = leftovers.get(path);
            let was_made = !before.contains(&item.number);
            assert_eq!(is_known.is_some(), was_made, "seed {seed}: {path}");
        }
        let targets = targets_of_replacing_renames(&changes);
        for (path, _) in leftovers.iter().filter(|(_, is_doubtful)| **is_doubtful) {
            doubtful += 1;
            let last = |path: &str| path.rsplit('/').next().unwrap().to_string();
            let has_name = |change: &&NameChange| match &change.what {
                Change::Renamed { to, .. } => last(&to.folded()) == last(path),
                _ => false,
            };
            // Something else may have come to this name by another path of its directory.
            let may_arrive = changes.iter().any(|change| has_name(&change));
            assert!(targets.contains(path) || may_arrive, "seed {seed}: {path} is doubtful");
        }
    }
    assert!(doubtful > SEEDS / 20, "the test is blind: {doubtful}");
}
