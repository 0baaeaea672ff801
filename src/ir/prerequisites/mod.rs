//! The files and directories that a bounded stream uses and does not make. They must exist before
//! the stream is run.
//!
//! [`PrerequisiteFinder`] receives the operations in nominal order and keeps the namespace that they
//! lead to. A name that the stream uses before it has made it is a prerequisite, at the path that
//! it had before the run: a file that is opened after its directory was renamed must exist in the
//! directory's old place. Operations are assumed to end as they expect to.

mod first_use;
mod original_content;
mod outcome;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use first_use::FirstUse;
use original_content::OriginalContent;
use outcome::{NodeKind, Outcome, outcome};

use super::operation::{
    Expect, FileControl, HandleOperation, HandleRef, OpenOperation, Operation, OperationKind,
    OperationType, PathOperation, Section,
};
use crate::protocol::create::{
    CreateDisposition, FILE_DELETE_ON_CLOSE, FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE,
};
use crate::protocol::path::{PathError, upper_case};
use crate::protocol::{NtStatus, SharePath};

/// Maximum number of names that are remembered, which bounds the memory to about a gigabyte.
pub const MAX_NAMES: usize = 2_000_000;
/// Maximum size of all files together. A larger sum is more likely a wrong offset than intended.
pub const MAX_TOTAL_BYTES: u64 = 256 << 40;

/// The files and directories that must exist before a stream is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prerequisites {
    /// The directories, each after the one that it is in.
    pub directories: Vec<SharePath>,
    pub files: Vec<RequiredFile>,
}

/// A file that a stream uses and does not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredFile {
    pub path: SharePath,
    /// The largest end of a read of bytes that the stream had not written before.
    pub size: u64,
}

impl Prerequisites {
    /// Returns the size of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size))
    }

    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.files.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrerequisiteError {
    #[error(
        "{path}: {first} uses it as a {}, and {second} as a {}, so no server can have had it as both; correct the stream, or run it without --prepare", kind_name(*.first_is_directory), kind_name(!*.first_is_directory)
    )]
    Contradiction { path: String, first: String, first_is_directory: bool, second: String },
    #[error(
        "the stream needs more than {0} names to be remembered, which --prepare cannot keep in memory; prepare the share in another way, or split the stream"
    )]
    TooManyNames(usize),
    #[error(
        "the stream reads {total} bytes that must exist before it, {size} of them in {path}; --prepare makes at most {MAX_TOTAL_BYTES}"
    )]
    TooLarge { total: u64, path: String, size: u64 },
    #[error("a file that the stream uses had a path before the run that is not valid: {0}")]
    Path(#[from] PathError),
}

fn kind_name(is_directory: bool) -> &'static str {
    if is_directory { "directory" } else { "file" }
}

/// The number of a node.
type NodeIndex = u32;

const ROOT: NodeIndex = 0;

/// A namespace that follows the operations of a stream.
#[derive(Debug)]
pub struct PrerequisiteFinder {
    nodes: Vec<Node>,
    /// Nodes of files and directories that the stream made and removed again.
    free: Vec<NodeIndex>,
    /// The entries of directories, by the directory and the folded name.
    entries: FxHashMap<(NodeIndex, Arc<str>), Entry>,
    handles: FxHashMap<(u32, HandleRef), OpenNode>,
    max_names: usize,
}

/// A name in a directory. A name without an entry was not used yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Present(NodeIndex),
    /// The stream deleted it, or moved it away.
    Gone,
}

/// A file or directory, which keeps its node when it is renamed.
#[derive(Debug)]
struct Node {
    /// The directory that it is in now.
    parent: NodeIndex,
    /// The folded name that it has now.
    key: Arc<str>,
    /// The place that it has before the run, if it exists then.
    origin: Option<Origin>,
    presence: Presence,
    kind: NodeKind,
    /// Whether it is made as a directory if nothing shows its kind.
    seems_directory: bool,
    /// The operation that showed its kind.
    first_use: Option<FirstUse>,
    content: OriginalContent,
    /// The number of open handles.
    opens: u32,
    /// The number of entries of the directory.
    entries: u32,
}

#[derive(Debug)]
struct Origin {
    directory: NodeIndex,
    name: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// Nothing is known of it, except perhaps that names in it are gone.
    Unknown,
    /// The stream makes it if it is missing, and works if it exists.
    MadeIfMissing,
    /// The stream makes it, and it must not exist before.
    Made,
    /// It must exist before the run.
    Required,
}

#[derive(Clone, Copy, Debug)]
struct OpenNode {
    node: NodeIndex,
    delete_on_close: bool,
}

impl Default for PrerequisiteFinder {
    fn default() -> PrerequisiteFinder {
        PrerequisiteFinder::with_max_names(MAX_NAMES)
    }
}

impl PrerequisiteFinder {
    /// Creates the finder of a share of which nothing is known but that it has a root.
    pub fn with_max_names(max_names: usize) -> PrerequisiteFinder {
        let mut root = Node::new(ROOT, "".into());
        (root.presence, root.kind) = (Presence::Required, NodeKind::Directory);
        PrerequisiteFinder {
            nodes: vec![root],
            free: Vec::new(),
            entries: FxHashMap::default(),
            handles: FxHashMap::default(),
            max_names,
        }
    }

    /// Receives the next operation of the stream, in the order of nominal time.
    ///
    /// # Errors
    /// [`PrerequisiteError`] if the stream contradicts itself or uses too many paths.
    pub fn operation(&mut self, operation: &Operation) -> Result<(), PrerequisiteError> {
        match &operation.kind {
            OperationKind::Open(open) => self.open(operation, open),
            OperationKind::OnHandle(handle_ref, on_handle) => {
                self.on_handle(operation, (operation.client_idx, *handle_ref), on_handle)
            }
            OperationKind::ByPath(by_path) => self.by_path(operation, by_path),
        }
    }

    /// Returns what must exist before the run.
    ///
    /// # Errors
    /// [`PrerequisiteError`] if it is too large.
    pub fn finish(self) -> Result<Prerequisites, PrerequisiteError> {
        let mut found = Prerequisites::default();
        for index in 1..self.nodes.len() as NodeIndex {
            let node = self.node(index);
            if node.presence != Presence::Required {
                continue;
            }
            let path = self.original_path(index)?;
            let is_directory = match node.kind {
                NodeKind::Directory => true,
                NodeKind::File => false,
                NodeKind::Either => node.seems_directory,
            };
            match is_directory {
                true => found.directories.push(path),
                false => found.files.push(RequiredFile { path, size: node.content.read_end() }),
            }
        }
        found.directories.sort_by_key(|path| path.as_str().split('/').count());
        let total = found.bytes();
        match found.files.iter().max_by_key(|file| file.size) {
            Some(file) if total > MAX_TOTAL_BYTES => {
                let (path, size) = (file.path.to_string(), file.size);
                Err(PrerequisiteError::TooLarge { total, path, size })
            }
            _ => Ok(found),
        }
    }

    fn open(
        &mut self,
        operation: &Operation,
        open: &OpenOperation,
    ) -> Result<(), PrerequisiteError> {
        use CreateDisposition::{Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede};
        let handle = (operation.client_idx, open.handle_ref);
        self.forget(handle);
        let path = &open.path;
        let (options, disposition) = (open.sent_create_options(), open.sent_disposition());
        let kind = match options {
            options if options & FILE_DIRECTORY_FILE != 0 => NodeKind::Directory,
            options if options & FILE_NON_DIRECTORY_FILE != 0 => NodeKind::File,
            _ => NodeKind::Either,
        };
        let makes = !matches!(disposition, Open | Overwrite);
        let node = match outcome(operation) {
            Outcome::MayBeMissing if !makes => self.find(path),
            Outcome::Succeeds | Outcome::MayBeMissing => match disposition {
                Open | Overwrite => self.existing(operation, path, kind)?,
                Create => self.make(operation, path, kind, false)?,
                OpenIf => self.make(operation, path, kind, true)?,
                OverwriteIf | Supersede => self.replace(operation, path, kind)?,
            },
            Outcome::NameIsMissing => return self.missing(operation, path),
            // A directory is in the way of a new file as well.
            Outcome::FailsOn(NodeKind::Either) if makes => {
                return self.existing(operation, path, NodeKind::Either).map(drop);
            }
            Outcome::FailsOn(other) => {
                let kind = if other == NodeKind::Either { kind } else { other };
                return self.existing(operation, path, kind).map(drop);
            }
            Outcome::Fails => return Ok(()),
        };
        let Some(node) = node else { return Ok(()) };
        if matches!(disposition, Overwrite | OverwriteIf | Supersede) {
            self.node_mut(node).content.truncate(0);
        }
        let delete_on_close = options & FILE_DELETE_ON_CLOSE != 0;
        self.handles.insert(handle, OpenNode { node, delete_on_close });
        self.node_mut(node).opens += 1;
        Ok(())
    }

    /// Forgets what the handle's number stood for.
    fn forget(&mut self, handle: (u32, HandleRef)) {
        if let Some(OpenNode { node, .. }) = self.handles.remove(&handle) {
            self.node_mut(node).opens -= 1;
            self.free_if_removed(node);
        }
    }

    fn on_handle(
        &mut self,
        operation: &Operation,
        handle: (u32, HandleRef),
        on_handle: &HandleOperation,
    ) -> Result<(), PrerequisiteError> {
        let Some(&OpenNode { node, delete_on_close }) = self.handles.get(&handle) else {
            return Ok(());
        };
        if *on_handle == HandleOperation::Close {
            if delete_on_close {
                self.unlink(node);
            }
            self.forget(handle);
            return Ok(());
        }
        if !operation.expect.allows(NtStatus::SUCCESS, operation.operation_type()) {
            return Ok(());
        }
        match on_handle {
            HandleOperation::Read { offset, length } => {
                if self.is_of_kind(operation, node, NodeKind::File)?
                    && self.node_mut(node).content.read(*offset, *length)
                {
                    self.require(node);
                }
            }
            HandleOperation::Write { offset, length, .. } => {
                if self.is_of_kind(operation, node, NodeKind::File)? {
                    self.node_mut(node).content.write(*offset, *length);
                }
            }
            HandleOperation::Control(FileControl::Truncate { size }) => {
                if self.is_of_kind(operation, node, NodeKind::File)? {
                    self.node_mut(node).content.truncate(*size);
                }
            }
            HandleOperation::Close | HandleOperation::Control(_) => {}
        }
        Ok(())
    }

    fn by_path(
        &mut self,
        operation: &Operation,
        by_path: &PathOperation,
    ) -> Result<(), PrerequisiteError> {
        let (path, _) = by_path.paths();
        let kind = match by_path {
            PathOperation::Rename { .. } | PathOperation::Stat { .. } => NodeKind::Either,
            PathOperation::Delete { .. } => NodeKind::File,
            PathOperation::Mkdir { .. }
            | PathOperation::Rmdir { .. }
            | PathOperation::List { .. } => NodeKind::Directory,
        };
        let outcome = outcome(operation);
        match (outcome, by_path) {
            (Outcome::Fails, _) => {}
            (Outcome::NameIsMissing, _) => self.missing(operation, path)?,
            (
                Outcome::FailsOn(NodeKind::Either),
                PathOperation::Rename { source_path, dest_path, .. },
            ) => {
                self.existing(operation, source_path, NodeKind::Either)?;
                self.existing(operation, dest_path, NodeKind::Either)?;
            }
            (Outcome::FailsOn(NodeKind::Either), PathOperation::Mkdir { path }) => {
                // A file is in the way of a new directory as well.
                if let Some(node) = self.existing(operation, path, NodeKind::Either)? {
                    self.node_mut(node).seems_directory = true;
                }
            }
            (Outcome::FailsOn(other), _) => {
                let kind = if other == NodeKind::Either { kind } else { other };
                self.existing(operation, path, kind)?;
            }
            (_, PathOperation::Mkdir { path }) => {
                let collides = NtStatus::OBJECT_NAME_COLLISION;
                let may_exist = (operation.section == Section::Setup
                    && operation.expect == Expect::Default)
                    || operation.expect.allows(collides, OperationType::Mkdir);
                self.make(operation, path, kind, may_exist)?;
            }
            (_, PathOperation::Delete { path } | PathOperation::Rmdir { path }) => {
                let node = match outcome {
                    Outcome::MayBeMissing => self.find_or_note(path)?,
                    _ => self.existing(operation, path, kind)?,
                };
                if let Some(node) = node {
                    self.unlink(node);
                    self.free_if_removed(node);
                }
            }
            (_, PathOperation::Rename { source_path, dest_path, replace }) => {
                let node = match outcome {
                    Outcome::MayBeMissing => self.find(source_path),
                    _ => self.existing(operation, source_path, kind)?,
                };
                if let Some(node) = node {
                    self.rename(operation, node, dest_path, *replace)?;
                }
            }
            (Outcome::MayBeMissing, PathOperation::Stat { .. } | PathOperation::List { .. }) => {}
            (_, PathOperation::Stat { path } | PathOperation::List { path, .. }) => {
                self.existing(operation, path, kind)?;
            }
        }
        Ok(())
    }

    /// Returns what is at `path`, which must exist. Returns None if the operation will fail, because
    /// the stream itself removed the file or made it as something else.
    fn existing(
        &mut self,
        operation: &Operation,
        path: &SharePath,
        kind: NodeKind,
    ) -> Result<Option<NodeIndex>, PrerequisiteError> {
        let Some((parent, name)) = self.parent(operation, path)? else { return Ok(Some(ROOT)) };
        let Some(parent) = parent else { return Ok(None) };
        let node = match self.entry(parent, name) {
            Some(Entry::Gone) => return Ok(None),
            Some(Entry::Present(node)) => {
                if self.node(node).presence == Presence::Unknown {
                    self.require(node);
                }
                node
            }
            None if self.node(parent).presence == Presence::Made => return Ok(None),
            None => {
                let node = self.add_original(parent, name)?;
                self.require(node);
                node
            }
        };
        Ok(self.is_of_kind(operation, node, kind)?.then_some(node))
    }

    /// Notes that nothing is at `path`, in a directory that exists.
    fn missing(
        &mut self,
        operation: &Operation,
        path: &SharePath,
    ) -> Result<(), PrerequisiteError> {
        let Some((Some(parent), name)) = self.parent(operation, path)? else { return Ok(()) };
        let is_unknown = match self.entry(parent, name) {
            Some(Entry::Gone) => false,
            Some(Entry::Present(node)) => self.node(node).presence == Presence::Unknown,
            None => self.node(parent).presence != Presence::Made,
        };
        match is_unknown {
            true => self.set_entry(parent, folded(name).into(), Entry::Gone),
            false => Ok(()),
        }
    }

    /// Makes a file or directory at `path`, which may exist before if the stream opens or makes it
    /// in a way that allows that. Returns None if the operation will fail.
    fn make(
        &mut self,
        operation: &Operation,
        path: &SharePath,
        kind: NodeKind,
        may_exist: bool,
    ) -> Result<Option<NodeIndex>, PrerequisiteError> {
        let Some((parent, name)) = self.parent(operation, path)? else { return Ok(Some(ROOT)) };
        let Some(parent) = parent else { return Ok(None) };
        let entry = self.entry(parent, name);
        let known = match entry {
            Some(Entry::Present(node)) if self.node(node).presence != Presence::Unknown => {
                let is_usable = may_exist && self.is_of_kind(operation, node, kind)?;
                return Ok(is_usable.then_some(node));
            }
            Some(Entry::Present(node)) => Some(node),
            Some(Entry::Gone) | None => None,
        };
        let is_new = entry == Some(Entry::Gone) || self.node(parent).presence == Presence::Made;
        let node = match known {
            Some(node) => node,
            None if may_exist && !is_new => self.add_original(parent, name)?,
            None => self.add_new(parent, name)?,
        };
        self.node_mut(node).presence = match may_exist && !is_new {
            true => Presence::MadeIfMissing,
            false => Presence::Made,
        };
        self.is_of_kind(operation, node, kind)?;
        Ok(Some(node))
    }

    /// Opens the file at `path` in a way that makes it if it is missing and discards its content
    /// otherwise, so that it need not exist.
    fn replace(
        &mut self,
        operation: &Operation,
        path: &SharePath,
        kind: NodeKind,
    ) -> Result<Option<NodeIndex>, PrerequisiteError> {
        match self.find(path) {
            Some(node) => Ok(self.is_of_kind(operation, node, kind)?.then_some(node)),
            None => self.make(operation, path, kind, false),
        }
    }

    fn rename(
        &mut self,
        operation: &Operation,
        node: NodeIndex,
        to: &SharePath,
        replace: bool,
    ) -> Result<(), PrerequisiteError> {
        let Some((Some(parent), name)) = self.parent(operation, to)? else { return Ok(()) };
        // A directory cannot be moved into itself.
        let mut above = parent;
        while above != ROOT {
            if above == node {
                return Ok(());
            }
            above = self.node(above).parent;
        }
        match self.entry(parent, name) {
            Some(Entry::Present(other)) if other == node => return Ok(()),
            Some(Entry::Present(other)) if self.node(other).presence != Presence::Unknown => {
                if !replace {
                    return Ok(());
                }
                // Only a file is replaced.
                if self.node(other).kind == NodeKind::Either {
                    self.is_of_kind(operation, other, NodeKind::File)?;
                }
            }
            _ => {}
        }
        if node == ROOT {
            return Ok(());
        }
        self.unlink(node);
        let key: Arc<str> = folded(name).into();
        let replaced = self.entry(parent, name);
        self.set_entry(parent, key.clone(), Entry::Present(node))?;
        let moved = self.node_mut(node);
        (moved.parent, moved.key) = (parent, key);
        if let Some(Entry::Present(replaced)) = replaced {
            self.free_if_removed(replaced);
        }
        Ok(())
    }

    /// Returns the directory of `path`, all of which must exist, and the last name of the path. The
    /// directory is None if the operation will fail. Returns None for the root.
    fn parent<'p>(
        &mut self,
        operation: &Operation,
        path: &'p SharePath,
    ) -> Result<Option<(Option<NodeIndex>, &'p str)>, PrerequisiteError> {
        if path.is_root() {
            return Ok(None);
        }
        let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let mut at = ROOT;
        for component in above.split('/').filter(|component| !component.is_empty()) {
            at = match self.entry(at, component) {
                Some(Entry::Gone) => return Ok(Some((None, name))),
                Some(Entry::Present(node)) => {
                    if self.node(node).presence == Presence::Unknown {
                        self.require(node);
                    }
                    node
                }
                None if self.node(at).presence == Presence::Made => return Ok(Some((None, name))),
                None => {
                    let node = self.add_original(at, component)?;
                    self.require(node);
                    node
                }
            };
            if !self.is_of_kind(operation, at, NodeKind::Directory)? {
                return Ok(Some((None, name)));
            }
        }
        Ok(Some((Some(at), name)))
    }

    /// Returns what is at `path`, if the stream has used it before.
    fn find(&self, path: &SharePath) -> Option<NodeIndex> {
        let mut at = ROOT;
        for component in path.as_str().split('/').filter(|component| !component.is_empty()) {
            let Some(Entry::Present(node)) = self.entry(at, component) else { return None };
            at = node;
        }
        (self.node(at).presence != Presence::Unknown).then_some(at)
    }

    /// Returns what is at `path`, if the stream has used it before. Otherwise notes that nothing is
    /// there any more, without requiring that its directory exists.
    fn find_or_note(&mut self, path: &SharePath) -> Result<Option<NodeIndex>, PrerequisiteError> {
        if let Some(node) = self.find(path) {
            return Ok(Some(node));
        }
        let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let mut at = ROOT;
        for component in above.split('/').filter(|component| !component.is_empty()) {
            at = match self.entry(at, component) {
                Some(Entry::Gone) => return Ok(None),
                Some(Entry::Present(node)) => node,
                None if self.node(at).presence == Presence::Made => return Ok(None),
                None => self.add_original(at, component)?,
            };
        }
        if self.node(at).presence != Presence::Made {
            self.set_entry(at, folded(name).into(), Entry::Gone)?;
        }
        Ok(None)
    }

    /// Makes it a prerequisite that the node exists before the run, with the directories that it is
    /// in then. Does nothing if the stream makes the node.
    fn require(&mut self, node: NodeIndex) {
        let mut at = node;
        loop {
            let node = self.node_mut(at);
            if !matches!(node.presence, Presence::Unknown | Presence::MadeIfMissing) {
                return;
            }
            node.presence = Presence::Required;
            let Some(origin) = &node.origin else { return };
            at = origin.directory;
            let directory = self.node_mut(at);
            if directory.kind == NodeKind::Either {
                directory.kind = NodeKind::Directory;
            }
        }
    }

    /// Notes that the operation uses the node as this kind. Returns false if the stream made it as
    /// the other kind, so that the operation will fail.
    fn is_of_kind(
        &mut self,
        operation: &Operation,
        index: NodeIndex,
        kind: NodeKind,
    ) -> Result<bool, PrerequisiteError> {
        let node = self.node_mut(index);
        if kind == NodeKind::Either || node.kind == kind {
            return Ok(true);
        }
        if node.kind == NodeKind::Either {
            node.kind = kind;
            node.first_use = Some(FirstUse::of(operation));
            return Ok(true);
        }
        if node.presence == Presence::Made || index == ROOT {
            return Ok(false);
        }
        let first_is_directory = node.kind == NodeKind::Directory;
        let first = node.first_use.as_ref().map(ToString::to_string);
        let first = first.unwrap_or_else(|| "another operation".into());
        let path = self.original_path(index)?.to_string();
        let second = FirstUse::of(operation).to_string();
        Err(PrerequisiteError::Contradiction { path, first, first_is_directory, second })
    }

    /// Takes the node out of its directory.
    fn unlink(&mut self, index: NodeIndex) {
        let Node { parent, key, .. } = self.node(index);
        let place = (*parent, key.clone());
        if index == ROOT || self.entries.get(&place) != Some(&Entry::Present(index)) {
            return;
        }
        if self.node(place.0).presence == Presence::Made {
            // What is not in a directory that the stream made does not exist.
            self.entries.remove(&place);
            self.node_mut(place.0).entries -= 1;
        } else {
            self.entries.insert(place, Entry::Gone);
        }
    }

    /// Frees the node of a file or directory that the stream made and removed, so that a long stream
    /// which makes files again and again takes no more memory than its names.
    fn free_if_removed(&mut self, index: NodeIndex) {
        let Node { parent, key, presence, kind, opens, entries, origin, .. } = self.node(index);
        // A node that had a place before the run may be the origin of nodes that were in it.
        let may_be_origin = *kind != NodeKind::File && origin.is_some();
        let is_unused = *opens == 0 && *entries == 0 && !may_be_origin;
        if *presence != Presence::Made || *kind == NodeKind::Either || !is_unused {
            return;
        }
        if self.entries.get(&(*parent, key.clone())) != Some(&Entry::Present(index)) {
            // A freed node is of no kind, so that it is not freed twice.
            self.node_mut(index).kind = NodeKind::Either;
            self.free.push(index);
        }
    }

    /// Adds a node that exists, or may exist, before the run.
    fn add_original(
        &mut self,
        parent: NodeIndex,
        name: &str,
    ) -> Result<NodeIndex, PrerequisiteError> {
        let index = self.add_new(parent, name)?;
        self.node_mut(index).origin = Some(Origin { directory: parent, name: name.into() });
        Ok(index)
    }

    fn add_new(&mut self, parent: NodeIndex, name: &str) -> Result<NodeIndex, PrerequisiteError> {
        let freed = self.free.pop();
        let index = freed.unwrap_or(self.nodes.len() as NodeIndex);
        let key: Arc<str> = folded(name).into();
        self.set_entry(parent, key.clone(), Entry::Present(index))?;
        match freed {
            Some(index) => *self.node_mut(index) = Node::new(parent, key),
            None => self.nodes.push(Node::new(parent, key)),
        }
        Ok(index)
    }

    fn set_entry(
        &mut self,
        parent: NodeIndex,
        key: Arc<str>,
        entry: Entry,
    ) -> Result<(), PrerequisiteError> {
        if self.entries.insert((parent, key), entry).is_none() {
            self.node_mut(parent).entries += 1;
        }
        match self.entries.len().max(self.nodes.len()) > self.max_names {
            true => Err(PrerequisiteError::TooManyNames(self.max_names)),
            false => Ok(()),
        }
    }

    fn entry(&self, directory: NodeIndex, name: &str) -> Option<Entry> {
        self.entries.get(&(directory, folded(name).into())).copied()
    }

    /// Returns the path of the node before the run.
    fn original_path(&self, node: NodeIndex) -> Result<SharePath, PathError> {
        let mut names: Vec<&str> = Vec::new();
        let mut at = self.node(node);
        while let Some(origin) = &at.origin {
            names.push(&origin.name);
            at = self.node(origin.directory);
        }
        names.reverse();
        SharePath::new(&names.join("/"))
    }

    fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index as usize]
    }
}

impl Node {
    fn new(parent: NodeIndex, key: Arc<str>) -> Node {
        Node {
            parent,
            key,
            origin: None,
            presence: Presence::Unknown,
            kind: NodeKind::Either,
            seems_directory: false,
            first_use: None,
            content: OriginalContent::default(),
            opens: 0,
            entries: 0,
        }
    }
}

/// Returns the form of a name that is the same for all its spellings.
fn folded(name: &str) -> String {
    name.chars().map(upper_case).collect()
}
