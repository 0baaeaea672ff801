//! The in-memory tree as a share of crate smb-server.

use async_trait::async_trait;
use bytes::Bytes;
use smb_server::{
    BackendCapabilities, DirEntry, FileInfo, FileTimes, Handle, OpenAction, OpenIntent,
    OpenOptions, ShareBackend, SmbError, SmbPath, SmbResult, VolumeInfo,
};

use crate::backend::memory::{CreateAction, MemoryTree, NodeInfo, OpenNode, RequestedKind};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{NtStatus, SharePath};

const FILE_ATTRIBUTE_READONLY: u32 = 0x1;
const ALLOCATION_UNIT: u64 = 4096;

pub(super) struct MemoryShare {
    tree: MemoryTree,
}

impl MemoryShare {
    pub(super) fn new(tree: MemoryTree) -> MemoryShare {
        MemoryShare { tree }
    }

    /// Returns whether the file is read-only. The server leaves it to its storage to refuse writers
    /// (MS-FSA 2.1.5.1.2).
    fn is_read_only(&self, path: &SharePath) -> bool {
        let found = self.tree.open(path, RequestedKind::File, CreateDisposition::Open);
        found.is_ok_and(|(node, _)| is_read_only(&node.info()))
    }
}

#[async_trait]
impl ShareBackend for MemoryShare {
    async fn open(
        &self,
        path: &SmbPath,
        options: OpenOptions,
    ) -> SmbResult<(Box<dyn Handle>, OpenAction)> {
        let target = match (options.directory, options.non_directory) {
            (true, _) => RequestedKind::Directory,
            (false, true) => RequestedKind::File,
            (false, false) => RequestedKind::Any,
        };
        let path = share_path(path)?;
        if options.write && self.is_read_only(&path) {
            return Err(SmbError::AccessDenied);
        }
        let opened = self.tree.open(&path, target, disposition(options.intent));
        let (node, action) = opened.map_err(server_error)?;
        let action = match action {
            CreateAction::Opened => OpenAction::Opened,
            CreateAction::Created => OpenAction::Created,
            CreateAction::Overwritten | CreateAction::Superseded => OpenAction::Overwritten,
        };
        Ok((Box::new(MemoryHandle(node)), action))
    }

    async fn unlink(&self, path: &SmbPath) -> SmbResult<()> {
        self.tree.delete(&share_path(path)?, RequestedKind::Any).map_err(server_error)
    }

    async fn rename(&self, from: &SmbPath, to: &SmbPath, replace: bool) -> SmbResult<()> {
        self.tree.rename(&share_path(from)?, &share_path(to)?, replace).map_err(server_error)
    }

    fn capabilities(&self) -> BackendCapabilities {
        // By default a share is writable and its names are not case-sensitive.
        BackendCapabilities::default()
    }

    async fn volume_info(&self) -> SmbResult<VolumeInfo> {
        let (limit, used) = self.tree.space();
        let free = limit.saturating_sub(used) / ALLOCATION_UNIT;
        let mut volume = VolumeInfo::default();
        volume.total_allocation_units = limit / ALLOCATION_UNIT;
        volume.caller_available_allocation_units = free;
        volume.actual_available_allocation_units = free;
        Ok(volume)
    }
}

struct MemoryHandle(OpenNode);

#[async_trait]
impl Handle for MemoryHandle {
    async fn read(&self, offset: u64, length: u32) -> SmbResult<Bytes> {
        match self.0.read(offset, length.into()) {
            // The server answers STATUS_END_OF_FILE if a read returns no bytes.
            Err(NtStatus::END_OF_FILE) => Ok(Bytes::new()),
            read => read.map_err(server_error),
        }
    }

    async fn write(&self, offset: u64, data: &[u8]) -> SmbResult<u32> {
        self.0.write(offset, data).map_err(server_error)?;
        Ok(data.len() as u32)
    }

    async fn flush(&self) -> SmbResult<()> {
        Ok(())
    }

    async fn stat(&self) -> SmbResult<FileInfo> {
        Ok(file_info(self.0.info()))
    }

    async fn set_times(&self, times: FileTimes) -> SmbResult<()> {
        self.0.update_basic(|basic| {
            basic.created = times.creation_time.unwrap_or(basic.created);
            basic.accessed = times.last_access_time.unwrap_or(basic.accessed);
            basic.written = times.last_write_time.unwrap_or(basic.written);
            basic.changed = times.change_time.unwrap_or(basic.changed);
        });
        Ok(())
    }

    async fn set_attributes(&self, attributes: u32) -> SmbResult<()> {
        self.0.update_basic(|basic| basic.attributes = attributes);
        Ok(())
    }

    async fn truncate(&self, length: u64) -> SmbResult<()> {
        self.0.truncate(length).map_err(server_error)
    }

    async fn list_dir(&self, pattern: Option<&str>) -> SmbResult<Vec<DirEntry>> {
        let found = self.0.list(pattern.unwrap_or("*")).map_err(server_error)?;
        Ok(found.into_iter().map(|node| DirEntry { info: file_info(node) }).collect())
    }

    async fn close(self: Box<Self>) -> SmbResult<()> {
        Ok(())
    }
}

fn share_path(path: &SmbPath) -> SmbResult<SharePath> {
    SharePath::new(&path.components().join("/")).map_err(|_| SmbError::NameInvalid)
}

fn disposition(intent: OpenIntent) -> CreateDisposition {
    match intent {
        OpenIntent::Create => CreateDisposition::Create,
        OpenIntent::OpenOrCreate => CreateDisposition::OpenIf,
        OpenIntent::OverwriteOrCreate => CreateDisposition::OverwriteIf,
        OpenIntent::Truncate => CreateDisposition::Overwrite,
        // This arm also covers intents that a later smb-server may add, because it changes nothing.
        _ => CreateDisposition::Open,
    }
}

fn file_info(node: NodeInfo) -> FileInfo {
    let read_only = is_read_only(&node);
    let mut info = FileInfo::new(node.name);
    info.end_of_file = node.size;
    info.allocation_size = node.allocated;
    info.creation_time = node.basic.created;
    info.last_access_time = node.basic.accessed;
    info.last_write_time = node.basic.written;
    info.change_time = node.basic.changed;
    info.is_directory = node.is_directory;
    info.read_only = read_only;
    info.file_index = node.id;
    info
}

fn is_read_only(node: &NodeInfo) -> bool {
    node.basic.attributes & FILE_ATTRIBUTE_READONLY != 0
}

/// Returns smb-server's error for a status. Some statuses have none of their own.
fn server_error(status: NtStatus) -> SmbError {
    match status {
        NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::FILE_DELETED => SmbError::NotFound,
        NtStatus::OBJECT_PATH_NOT_FOUND => SmbError::PathNotFound,
        NtStatus::OBJECT_NAME_COLLISION => SmbError::Exists,
        NtStatus::OBJECT_NAME_INVALID => SmbError::NameInvalid,
        NtStatus::DIRECTORY_NOT_EMPTY => SmbError::NotEmpty,
        NtStatus::FILE_IS_A_DIRECTORY | NtStatus::INVALID_DEVICE_REQUEST => SmbError::IsDirectory,
        NtStatus::NOT_A_DIRECTORY => SmbError::NotADirectory,
        NtStatus::SHARING_VIOLATION => SmbError::Sharing,
        NtStatus::DISK_FULL => SmbError::DiskFull,
        NtStatus::ACCESS_DENIED | NtStatus::CANNOT_DELETE | NtStatus::DELETE_PENDING => {
            SmbError::AccessDenied
        }
        _ => SmbError::NotSupported,
    }
}
