//! The request of a CREATE, checked before the file it names is looked up.

use super::opens::RequestedCaching;
use super::opens::access::{self, DELETE, READ_ATTRIBUTES, SHARE_ALL, SYNCHRONIZE, WRITE_DATA};
use crate::backend::memory::{Found, RequestedKind};
use crate::ir::OpenMode;
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{
    CreateContext, CreateParameters, Lease, LeaseKey, LeaseState, NtStatus, SharePath, lease_key,
};

// CreateOptions, MS-SMB2 2.2.13.
const DIRECTORY_FILE: u32 = 0x0000_0001;
const NON_DIRECTORY_FILE: u32 = 0x0000_0040;
const DELETE_ON_CLOSE: u32 = 0x0000_1000;
/// FILE_CREATE_TREE_CONNECTION, FILE_OPEN_BY_FILE_ID and FILE_RESERVE_OPFILTER, which a
/// server does not support (MS-SMB2 3.3.5.9).
const NOT_SUPPORTED: u32 = 0x0010_2080;
const UNKNOWN_OPTIONS: u32 = 0xFF00_0000;

// FileAttributes, MS-FSCC 2.6.
pub const ATTRIBUTE_READONLY: u32 = 0x0000_0001;
const ATTRIBUTE_HIDDEN: u32 = 0x0000_0002;
const ATTRIBUTE_SYSTEM: u32 = 0x0000_0004;
const ATTRIBUTE_DIRECTORY: u32 = 0x0000_0010;
const ATTRIBUTE_NORMAL: u32 = 0x0000_0080;
const ATTRIBUTE_TEMPORARY: u32 = 0x0000_0100;
/// Attributes that do not exist, and those of devices and volumes (smbtorture
/// smb2.create.gentest).
const UNKNOWN_ATTRIBUTES: u32 = 0xFFFF_8048;

/// The length of the shortest name of a create context, in bytes.
const SHORTEST_CONTEXT_NAME: usize = 4;
/// SMB2_CREATE_TIMEWARP_TOKEN, which asks for the file as it was in a snapshot.
const TIMEWARP: &[u8] = b"TWrp";

/// The part of a CREATE request that the simulator honors. Other options have no effect, and other
/// contexts, durable handles among them, are not granted.
pub struct CreateRequest<'a> {
    pub path: &'a SharePath,
    pub target: RequestedKind,
    pub disposition: CreateDisposition,
    access: u32,
    pub share: u32,
    attributes: u32,
    pub delete_on_close: bool,
    pub caching: RequestedCaching,
    pub parent_key: Option<LeaseKey>,
}

impl<'a> CreateRequest<'a> {
    /// Returns a request that the simulator itself makes, for an operation by path.
    pub fn by_path(
        path: &'a SharePath,
        target: RequestedKind,
        disposition: CreateDisposition,
        access: u32,
    ) -> CreateRequest<'a> {
        CreateRequest {
            path,
            target,
            disposition,
            access: access | READ_ATTRIBUTES | SYNCHRONIZE,
            share: SHARE_ALL,
            attributes: 0,
            delete_on_close: false,
            caching: RequestedCaching::Nothing,
            parent_key: None,
        }
    }

    /// Names `lease` as the lease of the opener, and asks for no caching.
    pub fn under(self, lease: Option<&Lease>) -> CreateRequest<'a> {
        let Some((lease, key)) = lease.and_then(|lease| Some((lease, lease.key?))) else {
            return self;
        };
        let Lease { parent_key, version, .. } = *lease;
        let (state, has_epoch) = (LeaseState::NONE, version == 2);
        let caching = RequestedCaching::Lease { key, state, parent_key, has_epoch };
        CreateRequest { caching, parent_key, ..self }
    }

    /// Checks the parameters of an open and makes a request from them.
    ///
    /// # Errors
    /// - STATUS_INVALID_PARAMETER for share modes, options and attributes that do not exist, for a
    ///   file that must be a directory and also must not be one, for a temporary directory
    ///   (MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1), and for a create context with too short a name
    /// - STATUS_NOT_SUPPORTED for options that a server does not support
    /// - STATUS_OBJECT_NAME_NOT_FOUND for a file of a snapshot, because there are no snapshots
    pub fn new(
        client: u32,
        path: &'a SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<CreateRequest<'a>, NtStatus> {
        let options = parameters.create_options.unwrap_or(NON_DIRECTORY_FILE);
        let attributes = parameters.file_attributes.unwrap_or_default();
        let temporary = attributes & ATTRIBUTE_TEMPORARY != 0;
        if options & UNKNOWN_OPTIONS != 0
            || attributes & UNKNOWN_ATTRIBUTES != 0
            || temporary && options & DIRECTORY_FILE != 0
        {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        if options & NOT_SUPPORTED != 0 {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        check_contexts(&parameters.create_contexts)?;
        let target = match (options & DIRECTORY_FILE != 0, options & NON_DIRECTORY_FILE != 0) {
            (true, true) => return Err(NtStatus::INVALID_PARAMETER),
            (true, false) => RequestedKind::Directory,
            (false, true) => RequestedKind::File,
            (false, false) => RequestedKind::Any,
        };
        let share = parameters.share_mode.unwrap_or(SHARE_ALL);
        if share & !SHARE_ALL != 0 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let (caching, parent_key) = wanted_caching(client, path, parameters);
        Ok(CreateRequest {
            path,
            target,
            disposition: parameters.disposition.unwrap_or(disposition),
            access: parameters.access_mask.unwrap_or(access::of_mode(mode)),
            share,
            attributes,
            delete_on_close: options & DELETE_ON_CLOSE != 0,
            caching,
            parent_key,
        })
    }

    /// Returns the rights that the open gets on what it finds.
    pub fn granted_access(&self, found: Option<Found>) -> Result<u32, NtStatus> {
        let access = access::granted(self.access)?;
        let attributes = found.map_or(0, |node| node.attributes);
        let read_only = attributes & ATTRIBUTE_READONLY != 0;
        // MS-FSA 2.1.5.1.2: to overwrite a hidden or system file, an open must ask for that
        // attribute.
        let kept = attributes & (ATTRIBUTE_HIDDEN | ATTRIBUTE_SYSTEM);
        if self.overwrites() && kept & !self.attributes != 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        // MS-FSA 2.1.5.1.2.1: nobody writes to a read-only file.
        if read_only && access & (access::WRITE_DATA | access::APPEND_DATA) != 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if self.delete_on_close {
            // MS-SMB2 3.3.5.9; MS-FSA 2.1.5.1.
            if access & DELETE == 0 {
                return Err(NtStatus::ACCESS_DENIED);
            }
            if read_only || self.attributes & ATTRIBUTE_READONLY != 0 {
                return Err(NtStatus::CANNOT_DELETE);
            }
        }
        Ok(access)
    }

    pub fn overwrites(&self) -> bool {
        self.implied_access() != 0
    }

    /// Returns the attributes that the file is made or overwritten with.
    pub fn stored_attributes(&self) -> u32 {
        self.attributes & !(ATTRIBUTE_DIRECTORY | ATTRIBUTE_NORMAL)
    }

    /// Returns the right that the disposition needs on a file that exists (MS-FSA 2.1.5.1.2).
    pub fn implied_access(&self) -> u32 {
        use CreateDisposition::{Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede};
        match self.disposition {
            Create | Open | OpenIf => 0,
            Overwrite | OverwriteIf => WRITE_DATA,
            Supersede => DELETE,
        }
    }
}

/// Returns the caching that an open asks for. A lease context counts if the oplock level is that of
/// a lease or absent. Otherwise the oplock level counts (MS-SMB2 3.3.5.9.8).
fn wanted_caching(
    client: u32,
    path: &SharePath,
    parameters: &CreateParameters,
) -> (RequestedCaching, Option<LeaseKey>) {
    match (parameters.requested_oplock, parameters.lease) {
        (None | Some(OplockLevel::Lease), Some(lease)) => {
            let wanted = RequestedCaching::Lease {
                key: lease.key.unwrap_or_else(|| lease_key(client, path, 0)),
                state: LeaseState::from_bits(lease.state),
                parent_key: lease.parent_key,
                has_epoch: lease.version == 2,
            };
            (wanted, lease.parent_key)
        }
        (None | Some(OplockLevel::None | OplockLevel::Lease), _) => {
            (RequestedCaching::Nothing, None)
        }
        (Some(level), _) => (RequestedCaching::Oplock(level), None),
    }
}

/// Checks the create contexts. A context whose name the server does not know is ignored (MS-SMB2
/// 3.3.5.9).
fn check_contexts(contexts: &[CreateContext]) -> Result<(), NtStatus> {
    if contexts.iter().any(|context| context.name.len() < SHORTEST_CONTEXT_NAME) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if contexts.iter().any(|context| context.name == TIMEWARP) {
        return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    Ok(())
}
