//! Operations by path, and opening files.

use std::sync::{Arc, Mutex, PoisonError};

use ::smb2::msg::create::{
    CreateDisposition as WireDisposition, CreateRequest, ImpersonationLevel, ShareAccess,
};
use ::smb2::msg::logoff::LogoffRequest;
use ::smb2::msg::query_directory::{
    FileInformationClass, QueryDirectoryFlags, QueryDirectoryRequest,
};
use ::smb2::msg::query_info::QueryInfoRequest;
use ::smb2::msg::set_info::{InfoType, SetInfoRequest};
use ::smb2::msg::tree_disconnect::TreeDisconnectRequest;
use ::smb2::types::flags::FileAccessMask;
use ::smb2::types::{Command, FileId, MessageId, OplockLevel};
use async_trait::async_trait;

use super::acknowledger::Acknowledger;
use super::contexts;
use super::handle::Smb2Handle;
use super::tree_connection::TreeConnection;
use super::wire_format::{COMPOUND_FILE, LISTING_BYTES, NETWORK_OPEN_INFORMATION_BYTES};
use crate::backend::{BreakStream, OpError, SMBConnectionInner, SMBFileHandle, break_channel};
use crate::ir::event::SocketTimes;
use crate::ir::{OpenMode, PathOperation};
use crate::protocol::create::{CreateDisposition, FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE};
use crate::protocol::{CreateParameters, Lease, NtStatus, SharePath, lease_key};

// DesiredAccess, MS-SMB2 2.2.13.1: the rights that the Windows kernel requests for GENERIC_READ and
// GENERIC_WRITE.
const FILE_GENERIC_READ: u32 = 0x0012_0089;
const FILE_GENERIC_WRITE: u32 = 0x0012_0116;
const FILE_LIST_DIRECTORY: u32 = FileAccessMask::FILE_READ_DATA;
const READ_ATTRIBUTES: u32 = FileAccessMask::FILE_READ_ATTRIBUTES;
const SYNCHRONIZE: u32 = FileAccessMask::SYNCHRONIZE;
const DELETE: u32 = FileAccessMask::DELETE;

const FILE_ATTRIBUTE_NORMAL: u32 = 0x0000_0080;

// Information classes, MS-FSCC 2.4.
const FILE_RENAME_INFORMATION: u8 = 10;
const FILE_DISPOSITION_INFORMATION: u8 = 13;
const FILE_NETWORK_OPEN_INFORMATION: u8 = 34;

/// Number of answers after which a listing counts as endless: over 30 million names.
const MAX_LISTING_ANSWERS: u32 = 65_536;

pub(super) struct Smb2Connection {
    pub(super) link: Arc<TreeConnection>,
    /// The target's directory, which is put before every path.
    pub(super) directory: SharePath,
    pub(super) client_idx: u32,
    /// The setting of this name in [`BackendContext`](crate::backend::BackendContext).
    pub(super) file_ids: bool,
    /// The breaks, from the first open that may be granted something until the client takes them.
    pub(super) breaks: Mutex<Option<BreakStream>>,
}

#[async_trait]
impl SMBConnectionInner for Smb2Connection {
    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        let access = parameters.access_mask.unwrap_or(match mode {
            OpenMode::Read => FILE_GENERIC_READ,
            OpenMode::Write => FILE_GENERIC_WRITE | READ_ATTRIBUTES,
            OpenMode::ReadWrite => FILE_GENERIC_READ | FILE_GENERIC_WRITE,
        });
        let options = parameters.create_options.unwrap_or(FILE_NON_DIRECTORY_FILE);
        let disposition = on_the_wire(parameters.disposition.unwrap_or(disposition));
        let mut request = self.create(path, access, disposition, options);
        if let Some(share_mode) = parameters.share_mode {
            request.share_access = ShareAccess(share_mode);
        }
        request.file_attributes = parameters.file_attributes.unwrap_or(FILE_ATTRIBUTE_NORMAL);
        let key = || lease_key(self.client_idx, path, 0);
        contexts::ask(&mut request, parameters, key, self.file_ids)?;
        if parameters.is_mode_2() {
            // Watched before the request is sent, because a break may come before its answer is
            // handled.
            if let Some(breaks) = self.watch_breaks() {
                *self.breaks.lock().unwrap_or_else(PoisonError::into_inner) = Some(breaks);
            }
        }
        let (file_id, granted) = self.link.create(&request).await?;
        Ok(Box::new(Smb2Handle { link: self.link.clone(), file_id, granted }))
    }

    async fn execute_misc(&self, operation: &PathOperation) -> Result<(), OpError> {
        self.by_path(operation, None).await
    }

    async fn execute_under_lease(
        &self,
        operation: &PathOperation,
        lease: &Lease,
    ) -> Result<(), OpError> {
        self.by_path(operation, Some(lease)).await
    }

    async fn cancel(&self) -> bool {
        let connection = &self.link.connection;
        let mut sent = false;
        for request in connection.outstanding_requests() {
            // ECHO keeps the connection alive, and another client waits for the answer to a break.
            if matches!(request.command, Command::Echo | Command::OplockBreak) {
                continue;
            }
            let id = MessageId(request.message_id);
            let cancel = connection.send_cancel(id, request.async_id, connection.generation());
            sent |= cancel.await.is_ok();
        }
        sent
    }

    fn has_ended(&self) -> bool {
        self.link.wire.end_cause().is_some()
    }

    fn take_socket_times(&self) -> SocketTimes {
        self.link.wire.take_times()
    }

    fn breaks(&mut self) -> Option<BreakStream> {
        let watched = self.breaks.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        watched.or_else(|| self.watch_breaks())
    }

    async fn disconnect(self: Box<Self>) {
        // The socket closes next, whether the server answers or not.
        let _ = self.link.request(Command::TreeDisconnect, &TreeDisconnectRequest).await;
        let _ = self.link.request(Command::Logoff, &LogoffRequest).await;
    }
}

impl Smb2Connection {
    async fn by_path(
        &self,
        operation: &PathOperation,
        lease: Option<&Lease>,
    ) -> Result<(), OpError> {
        match operation {
            PathOperation::Rename { source_path, dest_path, replace } => {
                self.rename(source_path, dest_path, *replace, lease).await
            }
            PathOperation::Delete { path } => {
                self.remove(path, FILE_NON_DIRECTORY_FILE, lease).await
            }
            PathOperation::Rmdir { path } => self.remove(path, FILE_DIRECTORY_FILE, None).await,
            PathOperation::Mkdir { path } => {
                let access = FILE_LIST_DIRECTORY | READ_ATTRIBUTES | SYNCHRONIZE;
                let new = WireDisposition::FileCreate;
                let create = self.create(path, access, new, FILE_DIRECTORY_FILE);
                self.link.create_and_close(&create, None).await
            }
            PathOperation::Stat { path } => self.stat(path).await,
            PathOperation::List { path, pattern } => self.list(path, pattern).await,
        }
    }

    /// Starts to watch for breaks. Returns None if they are watched already.
    fn watch_breaks(&self) -> Option<BreakStream> {
        if self.link.wire.watches_breaks() {
            return None;
        }
        let acknowledger = Acknowledger(Arc::downgrade(&self.link));
        let (sender, stream) = break_channel(Arc::new(acknowledger));
        self.link.wire.watch_breaks(sender).then_some(stream)
    }

    /// Opens and closes the target's directory, to check at login that it is there.
    pub(super) async fn open_directory(&self) -> Result<(), OpError> {
        let access = FILE_LIST_DIRECTORY | READ_ATTRIBUTES | SYNCHRONIZE;
        let root = SharePath::default();
        let create = self.create(&root, access, WireDisposition::FileOpen, FILE_DIRECTORY_FILE);
        self.link.create_and_close(&create, None).await
    }

    /// Returns a CREATE request that shares read, write and delete access.
    fn create(
        &self,
        path: &SharePath,
        access: u32,
        disposition: WireDisposition,
        options: u32,
    ) -> CreateRequest {
        CreateRequest {
            requested_oplock_level: OplockLevel::None,
            impersonation_level: ImpersonationLevel::Impersonation,
            desired_access: FileAccessMask::new(access),
            file_attributes: 0,
            share_access: ShareAccess(
                ShareAccess::FILE_SHARE_READ
                    | ShareAccess::FILE_SHARE_WRITE
                    | ShareAccess::FILE_SHARE_DELETE,
            ),
            create_disposition: disposition,
            create_options: options,
            name: self.name(path),
            create_contexts: Vec::new(),
        }
    }

    /// Returns the path from the share's root, as SMB2 writes it.
    fn name(&self, path: &SharePath) -> String {
        path.below(&self.directory).as_str().replace('/', "\\")
    }

    /// Deletes a file or a directory. `kind` is the one to delete: the server refuses the other.
    async fn remove(
        &self,
        path: &SharePath,
        kind: u32,
        lease: Option<&Lease>,
    ) -> Result<(), OpError> {
        let access = DELETE | READ_ATTRIBUTES | SYNCHRONIZE;
        let mut create = self.create(path, access, WireDisposition::FileOpen, kind);
        contexts::name_lease(&mut create, lease);
        let delete = set_info(FILE_DISPOSITION_INFORMATION, vec![1]);
        self.link.create_and_close(&create, Some((Command::SetInfo, &delete))).await
    }

    async fn rename(
        &self,
        source: &SharePath,
        dest: &SharePath,
        replace: bool,
        lease: Option<&Lease>,
    ) -> Result<(), OpError> {
        let access = DELETE | READ_ATTRIBUTES | SYNCHRONIZE;
        let mut create = self.create(source, access, WireDisposition::FileOpen, 0);
        contexts::name_lease(&mut create, lease);
        let rename =
            set_info(FILE_RENAME_INFORMATION, rename_information(&self.name(dest), replace));
        self.link.create_and_close(&create, Some((Command::SetInfo, &rename))).await
    }

    async fn stat(&self, path: &SharePath) -> Result<(), OpError> {
        let access = READ_ATTRIBUTES | SYNCHRONIZE;
        let create = self.create(path, access, WireDisposition::FileOpen, 0);
        let query = QueryInfoRequest {
            info_type: InfoType::File,
            file_info_class: FILE_NETWORK_OPEN_INFORMATION,
            output_buffer_length: NETWORK_OPEN_INFORMATION_BYTES,
            additional_information: 0,
            flags: 0,
            file_id: COMPOUND_FILE,
            input_buffer: Vec::new(),
        };
        self.link.create_and_close(&create, Some((Command::QueryInfo, &query))).await
    }

    async fn list(&self, path: &SharePath, pattern: &str) -> Result<(), OpError> {
        let access = FILE_LIST_DIRECTORY | READ_ATTRIBUTES | SYNCHRONIZE;
        let create = self.create(path, access, WireDisposition::FileOpen, FILE_DIRECTORY_FILE);
        let mut query = query_directory(pattern);
        let first = (Command::QueryDirectory, &query as &dyn ::smb2::pack::Pack);
        let (directory, mut answer) = self.link.create_and(&create, first).await?;
        query.file_id = directory;
        let mut answers = 1;
        while answer.is_ok() && answers < MAX_LISTING_ANSWERS {
            answer = self.link.request(Command::QueryDirectory, &query).await.map(drop);
            answers += 1;
        }
        let listed = match answer {
            Err(OpError::Status(NtStatus::NO_MORE_FILES)) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(OpError::Client(format!(
                "the server's listing did not end after {MAX_LISTING_ANSWERS} answers"
            ))),
        };
        if matches!(listed, Err(OpError::ConnectionLost(_))) {
            return listed;
        }
        let closed = self.link.close(directory).await;
        listed.and(closed)
    }
}

fn on_the_wire(disposition: CreateDisposition) -> WireDisposition {
    match disposition {
        CreateDisposition::Supersede => WireDisposition::FileSupersede,
        CreateDisposition::Open => WireDisposition::FileOpen,
        CreateDisposition::Create => WireDisposition::FileCreate,
        CreateDisposition::OpenIf => WireDisposition::FileOpenIf,
        CreateDisposition::Overwrite => WireDisposition::FileOverwrite,
        CreateDisposition::OverwriteIf => WireDisposition::FileOverwriteIf,
    }
}

/// Returns a SET_INFO request for the file that the compound opens.
fn set_info(file_info_class: u8, buffer: Vec<u8>) -> SetInfoRequest {
    SetInfoRequest {
        info_type: InfoType::File,
        file_info_class,
        additional_information: 0,
        file_id: COMPOUND_FILE,
        buffer,
    }
}

/// Returns FileRenameInformation for SMB2 (MS-FSCC 2.4.42.2).
fn rename_information(name: &str, replace: bool) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut buffer = Vec::with_capacity(20 + name.len());
    buffer.extend([u8::from(replace), 0, 0, 0, 0, 0, 0, 0]);
    // RootDirectory: the name starts at the share's root.
    buffer.extend(0_u64.to_le_bytes());
    buffer.extend((name.len() as u32).to_le_bytes());
    buffer.extend(name);
    buffer
}

/// Returns the first request of a listing. The same request again continues the listing.
fn query_directory(pattern: &str) -> QueryDirectoryRequest {
    QueryDirectoryRequest {
        file_information_class: FileInformationClass::FileIdBothDirectoryInformation,
        flags: QueryDirectoryFlags::default(),
        file_index: 0,
        file_id: FileId::SENTINEL,
        output_buffer_length: LISTING_BYTES,
        file_name: pattern.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rename_information_has_the_layout_of_ms_fscc() {
        let buffer = rename_information("a\\ä", true);
        assert_eq!(buffer[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(buffer[8..20], [0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0]);
        assert_eq!(buffer[20..], [b'a', 0, b'\\', 0, 0xe4, 0]);
        assert_eq!(rename_information("a", false)[0], 0);
    }
}
