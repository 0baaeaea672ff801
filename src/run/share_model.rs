//! A model of a share for tests: files and directories with an identity, and the answers of a server.

use std::collections::BTreeMap;

use crate::ir::{HandleOperation, HandleRef, OpenOperation, OperationKind, PathOperation};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateAction, NtStatus, SharePath};

/// A file or directory, which keeps its number when it is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub number: u64,
    pub is_directory: bool,
    pub size: u64,
}

#[derive(Clone, Debug, Default)]
pub struct ShareModel {
    /// By folded path.
    pub items: BTreeMap<String, Item>,
    handles: BTreeMap<(u32, HandleRef), u64>,
    pub next_number: u64,
}

/// The answer to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelAnswer {
    pub status: NtStatus,
    pub action: Option<CreateAction>,
    /// Bytes that a read returned.
    pub bytes: u64,
}

impl ShareModel {
    /// Adds a file or directory, and the directories around it.
    pub fn add(&mut self, path: &str, is_directory: bool, size: u64) {
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            let number = self.number();
            let item = Item { number, is_directory: true, size: 0 };
            self.items.entry(parent.to_string()).or_insert(item);
            above = parent;
        }
        let number = self.number();
        self.items.entry(path.to_string()).or_insert(Item { number, is_directory, size });
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Executes an operation of a client.
    pub fn execute(&mut self, client: u32, kind: &OperationKind) -> ModelAnswer {
        let (mut action, mut bytes) = (None, 0);
        let done = match kind {
            OperationKind::Open(open) => self.open(client, open).map(|made| action = Some(made)),
            OperationKind::OnHandle(handle_ref, on_handle) => {
                self.on_handle((client, *handle_ref), on_handle).map(|read| bytes = read)
            }
            OperationKind::ByPath(by_path) => self.by_path(by_path),
        };
        ModelAnswer { status: done.err().unwrap_or(NtStatus::SUCCESS), action, bytes }
    }

    fn item(&self, path: &SharePath) -> Result<Item, NtStatus> {
        self.parent(path)?;
        self.items.get(&path.folded()).copied().ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    fn parent(&self, path: &SharePath) -> Result<(), NtStatus> {
        let folded = path.folded();
        let Some((parent, _)) = folded.rsplit_once('/') else { return Ok(()) };
        match self.items.get(parent) {
            Some(item) if item.is_directory => Ok(()),
            _ => Err(NtStatus::OBJECT_PATH_NOT_FOUND),
        }
    }

    fn open(&mut self, client: u32, open: &OpenOperation) -> Result<CreateAction, NtStatus> {
        use CreateDisposition::{Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede};
        let handle = (client, open.handle_ref);
        self.handles.remove(&handle);
        let found = match self.item(&open.path) {
            Err(NtStatus::OBJECT_NAME_NOT_FOUND) => None,
            found => Some(found?),
        };
        if found.is_some_and(|item| item.is_directory) {
            return Err(match open.sent_disposition() {
                Create => NtStatus::OBJECT_NAME_COLLISION,
                _ => NtStatus::FILE_IS_A_DIRECTORY,
            });
        }
        let action = match (open.sent_disposition(), found) {
            (Open | Overwrite, None) => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            (Create, Some(_)) => return Err(NtStatus::OBJECT_NAME_COLLISION),
            (Open | OpenIf, Some(_)) => CreateAction::Opened,
            (Overwrite | OverwriteIf | Supersede, Some(_)) => CreateAction::Overwritten,
            (_, None) => CreateAction::Created,
        };
        let number = found.map_or_else(|| self.number(), |item| item.number);
        let size = match (action, found) {
            (CreateAction::Opened, Some(item)) => item.size,
            _ => 0,
        };
        self.items.insert(open.path.folded(), Item { number, is_directory: false, size });
        self.handles.insert(handle, number);
        Ok(action)
    }

    fn on_handle(
        &mut self,
        handle: (u32, HandleRef),
        on_handle: &HandleOperation,
    ) -> Result<u64, NtStatus> {
        let number = *self.handles.get(&handle).ok_or(NtStatus::FILE_CLOSED)?;
        if *on_handle == HandleOperation::Close {
            self.handles.remove(&handle);
            return Ok(0);
        }
        let item = self.items.values_mut().find(|item| item.number == number);
        let item = item.ok_or(NtStatus::FILE_DELETED)?;
        match on_handle {
            HandleOperation::Read { offset, length } => {
                Ok(item.size.saturating_sub(*offset).min(*length))
            }
            HandleOperation::Write { offset, length, .. } => {
                item.size = item.size.max(offset + length);
                Ok(0)
            }
            HandleOperation::Close | HandleOperation::Control(_) => Ok(0),
        }
    }

    fn by_path(&mut self, by_path: &PathOperation) -> Result<(), NtStatus> {
        match by_path {
            PathOperation::Stat { path } => self.item(path).map(drop),
            PathOperation::List { path, .. } => match self.item(path)?.is_directory {
                true => Ok(()),
                false => Err(NtStatus::NOT_A_DIRECTORY),
            },
            PathOperation::Mkdir { path } => match self.item(path) {
                Err(NtStatus::OBJECT_NAME_NOT_FOUND) => {
                    let number = self.number();
                    let item = Item { number, is_directory: true, size: 0 };
                    self.items.insert(path.folded(), item);
                    Ok(())
                }
                found => found.and(Err(NtStatus::OBJECT_NAME_COLLISION)),
            },
            PathOperation::Delete { path } => match self.item(path)?.is_directory {
                true => Err(NtStatus::FILE_IS_A_DIRECTORY),
                false => {
                    self.items.remove(&path.folded());
                    Ok(())
                }
            },
            PathOperation::Rmdir { path } => {
                if !self.item(path)?.is_directory {
                    return Err(NtStatus::NOT_A_DIRECTORY);
                }
                let inside = format!("{}/", path.folded());
                if self.items.keys().any(|other| other.starts_with(&inside)) {
                    return Err(NtStatus::DIRECTORY_NOT_EMPTY);
                }
                self.items.remove(&path.folded());
                Ok(())
            }
            PathOperation::Rename { source_path, dest_path, replace } => {
                self.rename(source_path, dest_path, *replace)
            }
        }
    }

    fn rename(&mut self, from: &SharePath, to: &SharePath, replace: bool) -> Result<(), NtStatus> {
        self.item(from)?;
        let (old, new) = (from.folded(), to.folded());
        if old == new {
            return Ok(());
        }
        self.parent(to)?;
        let inside = format!("{old}/");
        if new.starts_with(&inside) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        match self.items.get(&new) {
            Some(_) if !replace => return Err(NtStatus::OBJECT_NAME_COLLISION),
            Some(item) if item.is_directory => return Err(NtStatus::ACCESS_DENIED),
            _ => {}
        }
        let moved: Vec<String> = self
            .items
            .keys()
            .filter(|path| **path == old || path.starts_with(&inside))
            .cloned()
            .collect();
        for path in moved {
            if let Some(item) = self.items.remove(&path) {
                self.items.insert(format!("{new}{}", &path[old.len()..]), item);
            }
        }
        Ok(())
    }
}
