//! The files and directories that a run has made and that are still there, as `--clean` needs to
//! know them.
//!
//! [`MadePaths`] receives the operations that make, move or remove names, in the order in which they
//! ended. It relies only on the server's answers: an open made a file if the create action says so,
//! and a directory if a mkdir succeeded. What cannot be decided is doubtful, and is never removed:
//!
//! - Operations of different clients may overlap, and the order of their ends is then not the order
//!   in which the server carried them out. That matters only if one of them is a rename, because
//!   every other operation that makes a name shows that the name was free.
//! - An operation without an answer may have been carried out.
//! - The answer to a rename that replaces does not say whether there was a file before.
//! - A directory may have several paths, which the tracking cannot know. Where a rename moves
//!   something that the run did not make, every name with the same last component is in doubt.
//!
//! A directory that the run made was empty at first, so that everything in it was made by the run,
//! unless something was moved into it from elsewhere. This settles most doubts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use crate::ir::{
    CompletionEvent, CompletionStatus, Failure, OpenOperation, OperationKind, PathOperation,
};
use crate::protocol::create::{CreateDisposition, FILE_DIRECTORY_FILE};
use crate::protocol::{CreateAction, NtStatus, SharePath};

/// Maximum number of paths that are remembered.
const MAX_PATHS: usize = 1_000_000;
/// Maximum number of past renames that are compared with later ends of operations.
const MAX_RENAMES: usize = 65_536;

/// An operation that changed names on the server, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    /// The time at which the operation was first sent, in nanoseconds from the run's origin.
    pub from_ns: u64,
    /// The time at which it ended.
    pub to_ns: u64,
    pub what: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Made {
        path: SharePath,
        is_directory: bool,
    },
    /// There was no answer, or none that says whether the file existed.
    MaybeMade {
        path: SharePath,
        is_directory: bool,
    },
    Removed {
        path: SharePath,
    },
    Renamed {
        from: SharePath,
        to: SharePath,
        replace: bool,
    },
    /// There was no answer.
    MaybeRenamed {
        from: SharePath,
        to: SharePath,
    },
}

impl NameChange {
    /// Returns what a completed operation changed; None for most operations.
    pub fn of(completion: &CompletionEvent) -> Option<NameChange> {
        let execution = &completion.execution;
        let answer = match &execution.status {
            CompletionStatus::Succeeded(status)
            | CompletionStatus::Failed(Failure::Status(status)) => Some(*status),
            // Nothing was sent.
            CompletionStatus::Skipped { .. } | CompletionStatus::Failed(Failure::Payload(_)) => {
                return None;
            }
            CompletionStatus::Cut | CompletionStatus::Failed(_) => None,
        };
        let succeeded = answer == Some(NtStatus::SUCCESS);
        let what = match &completion.operation.kind {
            OperationKind::Open(open) => {
                let action = execution.granted.as_ref().map(|granted| granted.action);
                opened(open, action, answer)
            }
            OperationKind::OnHandle(..) => None,
            OperationKind::ByPath(by_path) => match by_path {
                PathOperation::Mkdir { path } => {
                    made(path, true, succeeded.then_some(true), answer)
                }
                PathOperation::Delete { path } | PathOperation::Rmdir { path } => {
                    succeeded.then(|| Change::Removed { path: path.clone() })
                }
                PathOperation::Rename { source_path, dest_path, replace } => {
                    let (from, to) = (source_path.clone(), dest_path.clone());
                    match answer {
                        Some(NtStatus::SUCCESS) => {
                            Some(Change::Renamed { from, to, replace: *replace })
                        }
                        Some(_) => None,
                        None => Some(Change::MaybeRenamed { from, to }),
                    }
                }
                PathOperation::Stat { .. } | PathOperation::List { .. } => None,
            },
        }?;
        let (from_ns, to_ns) = (completion.times.issued_ns, completion.times.completed_ns);
        Some(NameChange { from_ns, to_ns, what })
    }
}

/// Returns what an open changed. An open that timed out may have been granted all the same.
fn opened(
    open: &OpenOperation,
    action: Option<CreateAction>,
    answer: Option<NtStatus>,
) -> Option<Change> {
    let disposition = open.sent_disposition();
    if matches!(disposition, CreateDisposition::Open | CreateDisposition::Overwrite) {
        return None;
    }
    let is_directory = open.sent_create_options() & FILE_DIRECTORY_FILE != 0;
    let is_new = match action {
        Some(action) => Some(action == CreateAction::Created),
        // This disposition fails if the file exists.
        None if disposition == CreateDisposition::Create && answer == Some(NtStatus::SUCCESS) => {
            Some(true)
        }
        None => None,
    };
    made(&open.path, is_directory, is_new, answer)
}

/// Returns what an operation made. `is_new` is None if the answer does not say it.
fn made(
    path: &SharePath,
    is_directory: bool,
    is_new: Option<bool>,
    answer: Option<NtStatus>,
) -> Option<Change> {
    let path = path.clone();
    match (is_new, answer) {
        (Some(true), _) => Some(Change::Made { path, is_directory }),
        (None, None | Some(NtStatus::SUCCESS)) => Some(Change::MaybeMade { path, is_directory }),
        (Some(false), _) | (None, Some(_)) => None,
    }
}

/// The names that a run has made, by path.
#[derive(Debug)]
pub struct MadePaths {
    /// By folded path, which puts a directory and everything in it close together, and by spelling:
    /// on a server that distinguishes them, two spellings are two files.
    names: BTreeMap<(Arc<str>, SharePath), MadeName>,
    /// Renames that operations which are still in flight may overlap.
    renames: VecDeque<PastRename>,
    /// The end of the newest rename that was dropped from `renames`.
    forgotten_ns: u64,
    /// The end of the newest change.
    newest_ns: u64,
    /// Whether everything foreign in the directories that the run made is known.
    knows_foreign: bool,
    /// The last component of each path to which a rename moved something that the run did not make,
    /// folded, and the end of the last such rename. A directory may have several paths (symbolic
    /// links, junctions), so that a name with this component, in whatever directory, may be the
    /// thing that was moved.
    arrived: BTreeMap<Arc<str>, u64>,
    /// The components of the directories around these paths.
    around_arrived: BTreeSet<Arc<str>>,
    untracked: u64,
    max_paths: usize,
    max_renames: usize,
}

#[derive(Clone, Copy, Debug)]
struct MadeName {
    state: NameState,
    /// The time at which the operation that made it was sent; 0 if a rename moved it here.
    from_ns: u64,
    /// The end of the operation that made it so.
    to_ns: u64,
}

impl MadeName {
    fn doubt(&mut self, may_be_moved: bool) {
        self.state = match self.state {
            NameState::Made { is_directory } => doubtful(is_directory, may_be_moved),
            NameState::Doubtful { is_directory, may_be_moved: before } => {
                doubtful(is_directory, before || may_be_moved)
            }
            NameState::Foreign => NameState::Foreign,
        };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameState {
    Made {
        is_directory: bool,
    },
    /// Something that existed before was moved into a directory that the run made.
    Foreign,
    Doubtful {
        is_directory: bool,
        /// Whether it may have existed before even if its directory was made by the run.
        may_be_moved: bool,
    },
}

#[derive(Clone, Debug)]
struct PastRename {
    from: SharePath,
    to: SharePath,
    to_ns: u64,
}

/// A name that `--clean` has to deal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub path: SharePath,
    pub is_directory: bool,
    /// Whether it may have existed before the run, so that it must stay.
    pub is_doubtful: bool,
}

impl Default for MadePaths {
    fn default() -> MadePaths {
        MadePaths::with_limits(MAX_PATHS, MAX_RENAMES)
    }
}

impl MadePaths {
    pub(super) fn with_limits(max_paths: usize, max_renames: usize) -> MadePaths {
        MadePaths {
            names: BTreeMap::new(),
            renames: VecDeque::new(),
            forgotten_ns: 0,
            newest_ns: 0,
            knows_foreign: true,
            arrived: BTreeMap::new(),
            around_arrived: BTreeSet::new(),
            untracked: 0,
            max_paths,
            max_renames,
        }
    }

    /// Returns the number of names that were made when there was no room for more, or whose change
    /// was lost. The run may have removed some of them again.
    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    /// Returns the names that are left, in the order of their folded paths.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let leftover = |((_, path), name): (&(Arc<str>, SharePath), &MadeName)| {
            let path = path.clone();
            match name.state {
                NameState::Made { is_directory } => {
                    let is_doubtful = self.may_have_arrived(&path, name);
                    Some(Leftover { path, is_directory, is_doubtful })
                }
                NameState::Doubtful { is_directory, may_be_moved } => {
                    let is_doubtful = may_be_moved
                        || !self.is_in_made_directory(&path)
                        || self.may_have_arrived(&path, name);
                    Some(Leftover { path, is_directory, is_doubtful })
                }
                NameState::Foreign => None,
            }
        };
        self.names.iter().filter_map(leftover).collect()
    }

    /// Applies a change. Changes come in the order in which their operations ended; one that comes
    /// too late leaves doubt.
    pub fn apply(&mut self, change: NameChange) {
        let NameChange { from_ns, to_ns, what } = change;
        let what = match what {
            what if to_ns >= self.newest_ns => what,
            Change::Made { path, is_directory } => {
                self.insert(path, doubtful(is_directory, true), to_ns);
                return;
            }
            Change::Removed { .. } => return,
            Change::Renamed { from, to, .. } => Change::MaybeRenamed { from, to },
            what => what,
        };
        self.newest_ns = self.newest_ns.max(to_ns);
        let times = (from_ns, to_ns);
        match what {
            Change::Made { path, is_directory } => self.made(path, is_directory, times),
            Change::MaybeMade { path, is_directory } => {
                if !self.names.contains_key(&key(&path)) {
                    self.insert(path, doubtful(is_directory, false), to_ns);
                }
            }
            Change::Removed { path } => self.removed(&path, from_ns),
            Change::Renamed { from, to, replace } => self.renamed(from, to, replace, times),
            Change::MaybeRenamed { from, to } => {
                for rename in self.overlapping(from_ns, &[&from, &to]) {
                    self.doubt(&rename.from, true);
                    self.doubt(&rename.to, true);
                }
                if from_ns < self.forgotten_ns {
                    self.lose_renames(self.forgotten_ns);
                }
                self.doubt_rename(&from, &to, true, to_ns);
                self.note_arrival(&from, &to, to_ns);
                self.remember(from, to, to_ns);
            }
        }
    }

    /// Returns whether the name may be that of something which a rename moved there by another path of
    /// its directory. A name that was made later was free.
    fn may_have_arrived(&self, path: &SharePath, name: &MadeName) -> bool {
        self.arrived.get(&last_component(path)).is_some_and(|to_ns| name.from_ns < *to_ns)
    }

    /// Takes note of a rename that moved, or may have moved, something that the run did not make.
    fn note_arrival(&mut self, from: &SharePath, to: &SharePath, to_ns: u64) {
        let made = self.names.get(&key(from)).map(|name| name.state);
        if matches!(made, Some(NameState::Made { .. })) {
            return;
        }
        if self.arrived.len() + self.around_arrived.len() >= self.max_paths {
            return self.lose_renames(self.newest_ns);
        }
        self.arrived.insert(last_component(to), to_ns);
        let folded = to.folded();
        if let Some((around, _)) = folded.rsplit_once('/') {
            self.around_arrived.extend(around.split('/').map(Arc::from));
        }
    }

    /// Counts names that were made by changes which will never be applied.
    pub fn count_untracked(&mut self, names: u64) {
        self.untracked += names;
    }

    /// Notes that renames are not known, of which the last ended at `to_ns`. They may have moved what
    /// existed before the run to every name that was made, so that all these names are doubtful, and
    /// so is what operations made that were in flight at that time.
    pub fn lose_renames(&mut self, to_ns: u64) {
        self.forgotten_ns = self.forgotten_ns.max(to_ns);
        self.knows_foreign = false;
        for name in self.names.values_mut() {
            name.doubt(true);
        }
    }

    fn made(&mut self, path: SharePath, is_directory: bool, (from_ns, to_ns): (u64, u64)) {
        let overlapping = self.overlapping(from_ns, &[&path]);
        if overlapping.is_empty() && from_ns >= self.forgotten_ns {
            let key = key(&path);
            self.insert(path, NameState::Made { is_directory }, to_ns);
            if let Some(name) = self.names.get_mut(&key) {
                name.from_ns = from_ns;
            }
            return;
        }
        // The rename may have taken this file away, or replaced it.
        let settled = overlapping.iter().all(|rename| self.is_within_made(rename));
        let settled = settled && from_ns >= self.forgotten_ns && self.is_in_made_directory(&path);
        for rename in overlapping {
            self.doubt(&rename.from, !settled);
            self.doubt(&rename.to, !settled);
            if let Some(moved) = moved(&path, &rename.from, &rename.to) {
                self.insert(moved, doubtful(is_directory, !settled), to_ns);
            }
        }
        self.insert(path, doubtful(is_directory, !settled), to_ns);
    }

    fn removed(&mut self, path: &SharePath, from_ns: u64) {
        // What was made while the removal was in flight may have been made after it.
        if self.names.get(&key(path)).is_some_and(|name| name.to_ns <= from_ns) {
            self.names.remove(&key(path));
        }
    }

    fn renamed(
        &mut self,
        from: SharePath,
        to: SharePath,
        replace: bool,
        (from_ns, to_ns): (u64, u64),
    ) {
        let overlapping = self.overlapping(from_ns, &[&from, &to]);
        let moving = self.within(&from);
        let exact = |path: &SharePath| moved(path, &from, &to).is_some();
        let in_flight = |path: &SharePath| self.names[&key(path)].to_ns > from_ns;
        if !overlapping.is_empty()
            || from_ns < self.forgotten_ns
            || moving.iter().any(|path| !exact(path) || in_flight(path))
        {
            let settled = from_ns >= self.forgotten_ns
                && overlapping.iter().all(|rename| self.is_within_made(rename))
                && self.is_in_made_directory(&from)
                && self.is_in_made_directory(&to);
            for rename in &overlapping {
                self.doubt(&rename.from, !settled);
                self.doubt(&rename.to, !settled);
            }
            if from_ns < self.forgotten_ns {
                self.lose_renames(self.forgotten_ns);
            }
            if !settled {
                self.note_arrival(&from, &to, to_ns);
            }
            self.doubt_rename(&from, &to, !settled, to_ns);
            return self.remember(from, to, to_ns);
        }
        let source = self.moved_state(&from);
        let source =
            source.or_else(|| self.is_in_made_directory(&from).then_some(doubtful(false, false)));
        if source.is_none() {
            self.note_arrival(&from, &to, to_ns);
        }
        let target = self.names.get(&key(&to)).map(|name| name.state);
        let target_was_made = matches!(target, Some(NameState::Made { .. }));
        let may_replace = replace
            && from.folded() != to.folded()
            && !target_was_made
            && (target.is_some() || !self.is_in_made_directory(&to));
        let moves: Vec<(SharePath, NameState)> = moving
            .iter()
            .filter_map(|path| Some((moved(path, &from, &to)?, self.moved_state(path)?)))
            .collect();
        for path in &moving {
            self.names.remove(&key(path));
        }
        for path in self.within(&to) {
            self.names.remove(&key(&path));
        }
        for (path, state) in moves {
            self.insert(path, state, to_ns);
        }
        match source {
            Some(NameState::Made { is_directory } | NameState::Doubtful { is_directory, .. })
                if may_replace =>
            {
                self.insert(to.clone(), doubtful(is_directory, true), to_ns);
            }
            Some(state) => self.insert(to.clone(), state, to_ns),
            None if self.is_in_made_directory(&to) => {
                self.insert(to.clone(), NameState::Foreign, to_ns);
            }
            None => {}
        }
        self.remember(from, to, to_ns);
    }

    /// Returns the state that a name takes along when it is moved. A name that may have been there
    /// before the run may still have been there before it in the directory that it is moved into.
    fn moved_state(&self, path: &SharePath) -> Option<NameState> {
        match self.names.get(&key(path))?.state {
            NameState::Doubtful { is_directory, .. } if !self.is_in_made_directory(path) => {
                Some(doubtful(is_directory, true))
            }
            state => Some(state),
        }
    }

    /// Notes that a rename may have been carried out or not, or at another time than it seems.
    fn doubt_rename(&mut self, from: &SharePath, to: &SharePath, may_be_moved: bool, to_ns: u64) {
        for path in self.within(from) {
            let state = self.names[&key(&path)].state;
            let is_directory = match state {
                NameState::Made { is_directory } | NameState::Doubtful { is_directory, .. } => {
                    is_directory
                }
                NameState::Foreign => false,
            };
            if let Some(moved) = moved(&path, from, to) {
                self.insert(moved, doubtful(is_directory, may_be_moved), to_ns);
            }
        }
        self.doubt(to, may_be_moved);
        let is_known = self.names.contains_key(&key(to));
        if !is_known && (self.is_in_made_directory(to) || !self.within(from).is_empty()) {
            self.insert(to.clone(), doubtful(false, may_be_moved), to_ns);
        }
    }

    /// Makes everything at and below `path` doubtful, in any spelling.
    fn doubt(&mut self, path: &SharePath, may_be_moved: bool) {
        for path in self.within(path) {
            if let Some(name) = self.names.get_mut(&key(&path)) {
                name.doubt(may_be_moved);
            }
        }
    }

    fn insert(&mut self, path: SharePath, state: NameState, to_ns: u64) {
        let key = key(&path);
        if self.names.len() >= self.max_paths && !self.names.contains_key(&key) {
            match state {
                NameState::Made { .. } | NameState::Doubtful { .. } => self.untracked += 1,
                NameState::Foreign => self.knows_foreign = false,
            }
            return;
        }
        self.names.insert(key, MadeName { state, from_ns: 0, to_ns });
    }

    /// Returns whether nothing can be at `path` that existed before the run, because a directory
    /// around it was made by the run.
    fn is_in_made_directory(&self, path: &SharePath) -> bool {
        if !self.knows_foreign {
            return false;
        }
        let mut at = path.as_str();
        let mut is_path = true;
        loop {
            let Ok(directory) = SharePath::new(at) else { return false };
            match self.names.get(&key(&directory)).map(|name| name.state) {
                Some(NameState::Foreign | NameState::Doubtful { may_be_moved: true, .. }) => {
                    return false;
                }
                Some(NameState::Made { is_directory: true }) if !is_path => {
                    return !self.around_arrived.contains(&last_component(&directory));
                }
                Some(NameState::Made { .. } | NameState::Doubtful { .. }) | None => {}
            }
            let Some((above, _)) = at.rsplit_once('/') else { return false };
            (at, is_path) = (above, false);
        }
    }

    fn is_within_made(&self, rename: &PastRename) -> bool {
        self.is_in_made_directory(&rename.from) && self.is_in_made_directory(&rename.to)
    }

    /// Returns the paths at and below `path`, in any spelling.
    fn within(&self, path: &SharePath) -> Vec<SharePath> {
        let first = |folded: String| (Arc::<str>::from(folded), SharePath::default());
        let folded = path.folded();
        // '0' follows '/'. No name has NUL in it.
        let itself = self
            .names
            .range((Included(first(folded.clone())), Excluded(first(format!("{folded}\0")))));
        let below = self
            .names
            .range((Included(first(format!("{folded}/"))), Excluded(first(format!("{folded}0")))));
        itself.chain(below).map(|((_, path), _)| path.clone()).collect()
    }

    /// Returns the renames that had not ended at `from_ns` and concern these paths, or what is above
    /// or below them, directly or through another of these renames: it may have moved on what was at
    /// the paths.
    fn overlapping(&self, from_ns: u64, paths: &[&SharePath]) -> Vec<PastRename> {
        let recent = self.renames.iter().rev().take_while(|rename| rename.to_ns > from_ns);
        let mut others: Vec<&PastRename> = recent.collect();
        let (mut found, mut paths, mut at) = (Vec::new(), paths.to_vec(), 0);
        while let Some(&path) = paths.get(at)
            && !others.is_empty()
        {
            others.retain(|rename| {
                let concerns = related(path, &rename.from) || related(path, &rename.to);
                if concerns {
                    paths.extend([&rename.from, &rename.to]);
                    found.push((*rename).clone());
                }
                !concerns
            });
            at += 1;
        }
        found
    }

    fn remember(&mut self, from: SharePath, to: SharePath, to_ns: u64) {
        let at = self.renames.partition_point(|rename| rename.to_ns <= to_ns);
        self.renames.insert(at, PastRename { from, to, to_ns });
        if self.renames.len() > self.max_renames
            && let Some(oldest) = self.renames.pop_front()
        {
            self.forgotten_ns = self.forgotten_ns.max(oldest.to_ns);
        }
    }
}

fn key(path: &SharePath) -> (Arc<str>, SharePath) {
    (path.folded().into(), path.clone())
}

/// Returns the last component of a path, folded.
fn last_component(path: &SharePath) -> Arc<str> {
    let folded = path.folded();
    folded.rsplit('/').next().unwrap_or(&folded).into()
}

fn doubtful(is_directory: bool, may_be_moved: bool) -> NameState {
    NameState::Doubtful { is_directory, may_be_moved }
}

/// Returns the path to which the rename of `from` to `to` moves `path`; None if `path` is not at or
/// below `from`, spelled the same.
fn moved(path: &SharePath, from: &SharePath, to: &SharePath) -> Option<SharePath> {
    let below = path.as_str().strip_prefix(from.as_str())?;
    if below.is_empty() {
        return Some(to.clone());
    }
    let below = below.strip_prefix('/')?;
    SharePath::new(&format!("{to}/{below}")).ok()
}

/// Returns whether one of the paths is the other, or a directory around it.
fn related(one: &SharePath, other: &SharePath) -> bool {
    let (one, other) = (one.folded(), other.folded());
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let rest = long.strip_prefix(&short);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
