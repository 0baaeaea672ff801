//! The tree: the names that exist, what they lead to, and the opens of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::UNIX_EPOCH;

use bytes::Bytes;

use super::content::{Content, Space};
use super::names::{folded, matches};
use super::{BasicInformation, CreateAction, Found, MemoryLimits, NodeInfo, RequestedKind};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{NtStatus, SharePath};

const ROOT: u64 = 1;

/// A file tree. A clone is the same tree.
///
/// One lock guards all names, and is held for the few steps of a lookup or a change. The bytes of
/// each file have a lock of their own.
#[derive(Clone)]
pub struct MemoryTree {
    shared: Arc<Shared>,
}

struct Shared {
    space: Arc<Space>,
    node_limit: u64,
    names: Mutex<Names>,
}

struct Names {
    nodes: HashMap<u64, Node>,
    next_id: u64,
}

struct Node {
    name: String,
    parent: u64,
    opens: u32,
    /// Whether the node is deleted with its last open. Until then the name stays and cannot be
    /// opened (MS-FSA 2.1.5.5).
    delete_pending: bool,
    /// The children by folded name; None for a file.
    children: Option<BTreeMap<String, u64>>,
    object: Arc<Object>,
}

/// The object that an open keeps, whatever its name becomes.
struct Object {
    id: u64,
    basic: Mutex<BasicInformation>,
    /// None for a directory.
    content: Option<RwLock<Content>>,
}

/// The place that a path leads to: a name in a directory that exists.
struct Place<'a> {
    parent: u64,
    name: &'a str,
    key: String,
    node: Option<u64>,
}

impl MemoryTree {
    pub fn new(limits: MemoryLimits) -> MemoryTree {
        let root = Node {
            name: String::new(),
            parent: ROOT,
            opens: 0,
            delete_pending: false,
            children: Some(BTreeMap::new()),
            object: Arc::new(Object::new(ROOT, None)),
        };
        let names = Names { nodes: HashMap::from([(ROOT, root)]), next_id: ROOT + 1 };
        MemoryTree {
            shared: Arc::new(Shared {
                space: Arc::new(Space::new(limits.bytes)),
                node_limit: limits.nodes,
                names: Mutex::new(names),
            }),
        }
    }

    /// Returns the maximum number of bytes that can be allocated, and the number allocated now.
    pub fn space(&self) -> (u64, u64) {
        (self.shared.space.limit(), self.shared.space.used())
    }

    /// Opens or makes what `path` names (MS-FSA 2.1.5.1).
    ///
    /// # Errors
    /// - STATUS_OBJECT_PATH_NOT_FOUND if a directory on the way is missing or is a file;
    ///   STATUS_OBJECT_NAME_NOT_FOUND if only the last name is missing
    /// - STATUS_OBJECT_NAME_COLLISION if `Create` names an existing file
    /// - STATUS_FILE_IS_A_DIRECTORY, STATUS_NOT_A_DIRECTORY against `target`
    /// - STATUS_INVALID_PARAMETER, STATUS_ACCESS_DENIED for overwriting a directory
    /// - STATUS_DELETE_PENDING; STATUS_DISK_FULL at the limit of nodes
    pub fn open(
        &self,
        path: &SharePath,
        target: RequestedKind,
        disposition: CreateDisposition,
    ) -> Result<(OpenNode, CreateAction), NtStatus> {
        use CreateDisposition::{Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede};
        let mut names = self.names();
        let (place, found) = names.find(path, target, disposition)?;
        let (id, action) = match found {
            Some(id) => {
                let action = match disposition {
                    Open | OpenIf | Create => CreateAction::Opened,
                    Supersede => CreateAction::Superseded,
                    Overwrite | OverwriteIf => CreateAction::Overwritten,
                };
                if action != CreateAction::Opened {
                    names.nodes[&id].object.truncate(0)?;
                }
                (id, action)
            }
            None => {
                if names.nodes.len() as u64 > self.shared.node_limit {
                    return Err(NtStatus::DISK_FULL);
                }
                let content = (target != RequestedKind::Directory)
                    .then(|| RwLock::new(Content::new(self.shared.space.clone())));
                (names.add(place, content)?, CreateAction::Created)
            }
        };
        let object = names.open(id);
        drop(names);
        Ok((OpenNode { tree: self.clone(), object }, action))
    }

    /// Returns what [`MemoryTree::open`] would open, or None if it would make it.
    ///
    /// # Errors
    /// The errors of [`MemoryTree::open`], except for the limits, which are not checked.
    pub fn find(
        &self,
        path: &SharePath,
        target: RequestedKind,
        disposition: CreateDisposition,
    ) -> Result<Option<Found>, NtStatus> {
        let names = self.names();
        let (_, found) = names.find(path, target, disposition)?;
        let object = found.and_then(|id| names.nodes.get(&id)).map(|node| &node.object);
        Ok(object.map(|object| Found {
            id: object.id,
            is_directory: object.content.is_none(),
            attributes: object.basic().attributes,
        }))
    }

    /// Deletes a file or an empty directory: opens it, marks it, closes it.
    ///
    /// # Errors
    /// The errors of [`MemoryTree::open`] and [`OpenNode::delete`].
    pub fn delete(&self, path: &SharePath, target: RequestedKind) -> Result<(), NtStatus> {
        let (node, _) = self.open(path, target, CreateDisposition::Open)?;
        node.delete()
    }

    /// Gives `from` the name `to`, together with everything below it (MS-FSA 2.1.5.15.12). To
    /// change only the case of a name is a rename too.
    ///
    /// # Errors
    /// The errors of opening `from` and of finding the parent of `to`, and
    /// - STATUS_OBJECT_NAME_COLLISION where `to` exists and `replace` is not set
    /// - STATUS_ACCESS_DENIED to replace a directory or an open file, to move a
    ///   directory into itself or while something below it is open
    pub fn rename(&self, from: &SharePath, to: &SharePath, replace: bool) -> Result<(), NtStatus> {
        let mut names = self.names();
        let id = names.resolve(from)?.node.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        if names.nodes[&id].delete_pending {
            return Err(NtStatus::DELETE_PENDING);
        }
        names.rename(id, to, replace)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.shared.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn resolve<'a>(&self, path: &'a SharePath) -> Result<Place<'a>, NtStatus> {
        if path.is_root() {
            return Ok(Place { parent: ROOT, name: "", key: String::new(), node: Some(ROOT) });
        }
        let (directories, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let mut parent = ROOT;
        for directory in directories.split('/').filter(|directory| !directory.is_empty()) {
            let child = self.children(parent)?.get(&folded(directory));
            parent = *child.ok_or(NtStatus::OBJECT_PATH_NOT_FOUND)?;
        }
        let key = folded(name);
        let node = self.children(parent)?.get(&key).copied();
        Ok(Place { parent, name, key, node })
    }

    /// Finds what an open asks for, and checks it against the kind that the open requires.
    fn find<'a>(
        &self,
        path: &'a SharePath,
        target: RequestedKind,
        disposition: CreateDisposition,
    ) -> Result<(Place<'a>, Option<u64>), NtStatus> {
        use CreateDisposition::{Create, Open, Overwrite, OverwriteIf, Supersede};
        let overwrites = matches!(disposition, Supersede | Overwrite | OverwriteIf);
        if target == RequestedKind::Directory && overwrites {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let place = self.resolve(path)?;
        let Some(id) = place.node else {
            return match disposition {
                Open | Overwrite => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
                _ => Ok((place, None)),
            };
        };
        let node = &self.nodes[&id];
        if node.delete_pending {
            return Err(NtStatus::DELETE_PENDING);
        }
        if disposition == Create {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        match (target, &node.object.content) {
            (RequestedKind::File, None) => Err(NtStatus::FILE_IS_A_DIRECTORY),
            (RequestedKind::Directory, Some(_)) => Err(NtStatus::NOT_A_DIRECTORY),
            (_, None) if overwrites => Err(NtStatus::ACCESS_DENIED),
            _ => Ok((place, Some(id))),
        }
    }

    fn children(&self, id: u64) -> Result<&BTreeMap<String, u64>, NtStatus> {
        let node = self.nodes.get(&id);
        node.and_then(|node| node.children.as_ref()).ok_or(NtStatus::OBJECT_PATH_NOT_FOUND)
    }

    /// Returns the directory to put a name into, with its time of change set.
    fn directory(&mut self, id: u64) -> Result<&mut BTreeMap<String, u64>, NtStatus> {
        match self.nodes.get_mut(&id) {
            Some(node) if node.delete_pending => Err(NtStatus::DELETE_PENDING),
            Some(node) => {
                node.object.touch();
                node.children.as_mut().ok_or(NtStatus::OBJECT_PATH_NOT_FOUND)
            }
            None => Err(NtStatus::OBJECT_PATH_NOT_FOUND),
        }
    }

    fn add(&mut self, place: Place<'_>, content: Option<RwLock<Content>>) -> Result<u64, NtStatus> {
        let id = self.next_id;
        self.directory(place.parent)?.insert(place.key, id);
        self.next_id += 1;
        let node = Node {
            name: place.name.to_string(),
            parent: place.parent,
            opens: 0,
            delete_pending: false,
            children: content.is_none().then(BTreeMap::new),
            object: Arc::new(Object::new(id, content)),
        };
        self.nodes.insert(id, node);
        Ok(id)
    }

    fn open(&mut self, id: u64) -> Arc<Object> {
        let node = self.nodes.get_mut(&id).expect("a resolved node is in the table");
        node.opens += 1;
        node.object.clone()
    }

    fn remove(&mut self, id: u64) {
        if let Some(node) = self.nodes.remove(&id) {
            self.unlink(node.parent, &node.name);
        }
    }

    fn unlink(&mut self, parent: u64, name: &str) {
        if let Ok(children) = self.directory(parent) {
            children.remove(&folded(name));
        }
    }

    fn move_to(&mut self, id: u64, place: Place<'_>) -> Result<(), NtStatus> {
        let (parent, name) = match self.nodes.get(&id) {
            Some(node) => (node.parent, node.name.clone()),
            None => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
        };
        self.directory(place.parent)?;
        self.unlink(parent, &name);
        self.directory(place.parent)?.insert(place.key, id);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.name = place.name.to_string();
            node.parent = place.parent;
        }
        Ok(())
    }

    /// Returns whether `id` is `ancestor` or below it.
    fn is_within(&self, mut id: u64, ancestor: u64) -> bool {
        while id != ROOT && id != ancestor {
            id = self.nodes.get(&id).map_or(ROOT, |node| node.parent);
        }
        id == ancestor
    }

    fn open_below(&self, id: u64) -> Vec<u64> {
        let mut open = Vec::new();
        let mut below: Vec<u64> = Vec::new();
        below.extend(self.children(id).into_iter().flat_map(BTreeMap::values));
        while let Some(id) = below.pop() {
            if self.nodes.get(&id).is_some_and(|node| node.opens > 0) {
                open.push(id);
            }
            below.extend(self.children(id).into_iter().flat_map(BTreeMap::values));
        }
        open
    }

    fn rename(&mut self, id: u64, to: &SharePath, replace: bool) -> Result<(), NtStatus> {
        let place = self.resolve(to)?;
        let moves_from_under_opens = !self.open_below(id).is_empty();
        if id == ROOT || self.is_within(place.parent, id) || moves_from_under_opens {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if let Some(existing) = place.node.filter(|existing| *existing != id) {
            let target = &self.nodes[&existing];
            if !replace {
                return Err(NtStatus::OBJECT_NAME_COLLISION);
            }
            if target.children.is_some() || target.opens > 0 {
                return Err(NtStatus::ACCESS_DENIED);
            }
            self.remove(existing);
        }
        self.move_to(id, place)
    }
}

impl Object {
    fn new(id: u64, content: Option<RwLock<Content>>) -> Object {
        let now = filetime_now();
        let basic = BasicInformation {
            created: now,
            accessed: now,
            written: now,
            changed: now,
            attributes: 0,
        };
        Object { id, basic: Mutex::new(basic), content }
    }

    pub fn basic(&self) -> MutexGuard<'_, BasicInformation> {
        self.basic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the times to those of a change just now.
    pub fn touch(&self) {
        let now = filetime_now();
        let mut basic = self.basic();
        basic.written = now;
        basic.changed = now;
    }

    /// Returns the content of a file.
    ///
    /// # Errors
    /// STATUS_INVALID_DEVICE_REQUEST for a directory, which has no content.
    pub fn content(&self) -> Result<&RwLock<Content>, NtStatus> {
        self.content.as_ref().ok_or(NtStatus::INVALID_DEVICE_REQUEST)
    }

    pub fn truncate(&self, size: u64) -> Result<(), NtStatus> {
        self.content()?.write().unwrap_or_else(PoisonError::into_inner).truncate(size)?;
        self.touch();
        Ok(())
    }

    fn info(&self, name: String) -> NodeInfo {
        let (size, allocated) = self.content.as_ref().map_or((0, 0), |content| {
            let content = content.read().unwrap_or_else(PoisonError::into_inner);
            (content.size(), content.allocated())
        });
        let is_directory = self.content.is_none();
        NodeInfo { id: self.id, name, is_directory, size, allocated, basic: *self.basic() }
    }
}

/// Returns the present time in units of 100 ns since 1601 (MS-DTYP 2.3.3).
#[expect(clippy::disallowed_types, reason = "the times of a file are those of the calendar")]
fn filetime_now() -> u64 {
    const UNIX_EPOCH_AS_FILETIME: u64 = 116_444_736_000_000_000;
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH_AS_FILETIME + since.as_secs() * 10_000_000 + u64::from(since.subsec_nanos()) / 100
}

/// An open of a file or directory. It stays valid through renames. Dropping it closes it, and the
/// last close deletes a file that is marked for deletion.
pub struct OpenNode {
    tree: MemoryTree,
    object: Arc<Object>,
}

impl OpenNode {
    /// See [`NodeInfo::id`].
    pub fn id(&self) -> u64 {
        self.object.id
    }

    pub fn is_directory(&self) -> bool {
        self.object.content.is_none()
    }

    pub fn info(&self) -> NodeInfo {
        let name = self.tree.names().nodes.get(&self.id()).map(|node| node.name.clone());
        self.object.info(name.unwrap_or_default())
    }

    /// Reads up to `length` bytes from `offset`, fewer at the end of the file.
    ///
    /// # Errors
    /// STATUS_END_OF_FILE at or past the end;
    /// STATUS_INVALID_DEVICE_REQUEST on a directory.
    pub fn read(&self, offset: u64, length: u64) -> Result<Bytes, NtStatus> {
        let content = self.object.content()?.read().unwrap_or_else(PoisonError::into_inner);
        content.read(offset, length)
    }

    /// Writes all of `data` or nothing, growing the file as needed.
    ///
    /// # Errors
    /// STATUS_DISK_FULL; STATUS_INVALID_PARAMETER past the largest offset;
    /// STATUS_INVALID_DEVICE_REQUEST on a directory.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), NtStatus> {
        let content = self.object.content()?;
        content.write().unwrap_or_else(PoisonError::into_inner).write(offset, data)?;
        self.object.touch();
        Ok(())
    }

    /// Sets the end of file.
    ///
    /// # Errors
    /// STATUS_INVALID_PARAMETER past the largest offset;
    /// STATUS_INVALID_DEVICE_REQUEST on a directory.
    pub fn truncate(&self, size: u64) -> Result<(), NtStatus> {
        self.object.truncate(size)
    }

    /// Lists the entries of this directory that match `pattern` (`*` for all), ordered by name
    /// without case. `.` and `..` are not among them.
    ///
    /// # Errors
    /// STATUS_INVALID_PARAMETER on a file.
    pub fn list(&self, pattern: &str) -> Result<Vec<NodeInfo>, NtStatus> {
        let names = self.tree.names();
        let children = names.nodes.get(&self.id()).and_then(|node| node.children.as_ref());
        let found: Vec<(String, Arc<Object>)> = children
            .ok_or(NtStatus::INVALID_PARAMETER)?
            .values()
            .map(|child| &names.nodes[child])
            .filter(|node| pattern == "*" || matches(pattern, &node.name))
            .map(|node| (node.name.clone(), node.object.clone()))
            .collect();
        drop(names);
        Ok(found.into_iter().map(|(name, object)| object.info(name)).collect())
    }

    /// Changes times and attributes in one step.
    pub fn update_basic(&self, change: impl FnOnce(&mut BasicInformation)) {
        change(&mut self.object.basic());
    }

    /// Gives the node another name, as [`MemoryTree::rename`] does.
    ///
    /// # Errors
    /// The errors of [`MemoryTree::rename`].
    pub fn rename(&self, to: &SharePath, replace: bool) -> Result<(), NtStatus> {
        self.tree.names().rename(self.id(), to, replace)
    }

    /// Returns the id of the directory that the node's name is in, or None once it is deleted.
    pub fn parent(&self) -> Option<u64> {
        self.tree.names().nodes.get(&self.id()).map(|node| node.parent)
    }

    /// Returns the ids of the open nodes below this directory.
    pub fn open_below(&self) -> Vec<u64> {
        self.tree.names().open_below(self.id())
    }

    /// Marks the node for deletion. Nobody can open it any more, existing opens keep working, and
    /// the name is removed with the last close (MS-FSA 2.1.5.15.3).
    ///
    /// # Errors
    /// STATUS_DIRECTORY_NOT_EMPTY; STATUS_CANNOT_DELETE for the root.
    pub fn delete(&self) -> Result<(), NtStatus> {
        let mut names = self.tree.names();
        match names.nodes.get_mut(&self.id()) {
            Some(_) if self.id() == ROOT => Err(NtStatus::CANNOT_DELETE),
            Some(node) if node.children.as_ref().is_some_and(|children| !children.is_empty()) => {
                Err(NtStatus::DIRECTORY_NOT_EMPTY)
            }
            Some(node) => {
                node.delete_pending = true;
                Ok(())
            }
            None => Err(NtStatus::FILE_DELETED),
        }
    }
}

impl Drop for OpenNode {
    fn drop(&mut self) {
        let mut names = self.tree.names();
        if let Some(node) = names.nodes.get_mut(&self.id()) {
            node.opens -= 1;
            if node.opens == 0 && node.delete_pending {
                names.remove(self.id());
            }
        }
    }
}
