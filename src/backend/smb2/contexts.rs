//! The oplock level and the create contexts of a CREATE request (MS-SMB2 2.2.13.2).

use ::smb2::msg::create::CreateRequest;
use ::smb2::msg::create_context::{CreateContext, NAME_DH2Q, NAME_QFID, pack_contexts};
use ::smb2::types::OplockLevel as WireLevel;

use super::create_response::SMB2_LEASE_FLAG_PARENT_LEASE_KEY_SET;
use crate::backend::OpError;
use crate::backend::entropy::random_bytes;
use crate::protocol::create::OplockLevel;
use crate::protocol::{CreateParameters, Durable, Lease, LeaseKey};

const NAME_RQLS: &[u8] = b"RqLs";
const NAME_DHNQ: &[u8] = b"DHnQ";
/// Longest name of a create context. NameOffset and DataOffset have 16 bits, the name begins after
/// 16 bytes, and the data after it is aligned to 8.
const MAX_NAME_BYTES: usize = u16::MAX as usize - 16 - 7;

/// Adds what fidelity mode 2 asks for. `key` makes the key of a lease that names none. `file_id`
/// asks for the server's number of the file; an open that may be granted caching always asks for
/// it.
///
/// # Errors
/// A context whose name the wire cannot carry, or no random numbers for a GUID.
pub(super) fn ask(
    request: &mut CreateRequest,
    wanted: &CreateParameters,
    key: impl FnOnce() -> LeaseKey,
    file_id: bool,
) -> Result<(), OpError> {
    let level = match wanted.requested_oplock {
        Some(level) => level,
        None if wanted.lease.is_some() => OplockLevel::Lease,
        None => OplockLevel::None,
    };
    request.requested_oplock_level = on_the_wire(level);
    let mut contexts = Vec::new();
    if let Some(asked) = &wanted.lease {
        contexts.push(lease(asked, asked.key.unwrap_or_else(key)));
    }
    if let Some(asked) = wanted.durable {
        let create_guid = random_bytes();
        let create_guid = create_guid.map_err(|error| OpError::Client(error.to_string()))?;
        contexts.push(durable(asked, create_guid));
    }
    for context in &wanted.create_contexts {
        if context.name.len() > MAX_NAME_BYTES {
            return Err(OpError::Client(format!(
                "a create context's name has {} bytes, and the maximum is {MAX_NAME_BYTES}",
                context.name.len()
            )));
        }
        contexts.push(CreateContext { name: context.name.clone(), data: context.data.clone() });
    }
    let cachable = level != OplockLevel::None || wanted.lease.is_some() || wanted.durable.is_some();
    if (cachable || file_id) && !contexts.iter().any(|context| context.name == NAME_QFID) {
        // SMB2_CREATE_QUERY_ON_DISK_ID: a number of the file that stays the same through renames.
        contexts.push(CreateContext::new(NAME_QFID, Vec::new()));
    }
    request.create_contexts = pack_contexts(&contexts);
    Ok(())
}

/// Names the lease that a client has, and asks for nothing more.
pub(super) fn name_lease(request: &mut CreateRequest, held: Option<&Lease>) {
    if let Some((held, key)) = held.and_then(|held| Some((held, held.key?))) {
        request.requested_oplock_level = WireLevel::Lease;
        request.create_contexts = pack_contexts(&[lease(held, key)]);
    }
}

pub(super) fn on_the_wire(level: OplockLevel) -> WireLevel {
    match level {
        OplockLevel::None => WireLevel::None,
        OplockLevel::II => WireLevel::LevelII,
        OplockLevel::Exclusive => WireLevel::Exclusive,
        OplockLevel::Batch => WireLevel::Batch,
        OplockLevel::Lease => WireLevel::Lease,
    }
}

/// Returns SMB2_CREATE_REQUEST_LEASE (MS-SMB2 2.2.13.2.8) or its _V2 (2.2.13.2.10).
fn lease(asked: &Lease, key: LeaseKey) -> CreateContext {
    let mut data = Vec::with_capacity(52);
    data.extend(key);
    data.extend(asked.state.to_le_bytes());
    let flags = asked.parent_key.map_or(0, |_| SMB2_LEASE_FLAG_PARENT_LEASE_KEY_SET);
    data.extend(flags.to_le_bytes());
    // LeaseDuration.
    data.extend([0; 8]);
    if asked.version == 2 {
        data.extend(asked.parent_key.unwrap_or_default());
        // Epoch and Reserved.
        data.extend([0; 4]);
    }
    CreateContext::new(NAME_RQLS, data)
}

/// Returns SMB2_CREATE_DURABLE_HANDLE_REQUEST (MS-SMB2 2.2.13.2.3) or its _V2 (2.2.13.2.11).
fn durable(asked: Durable, create_guid: [u8; 16]) -> CreateContext {
    if asked.version == 1 {
        return CreateContext::new(NAME_DHNQ, vec![0; 16]);
    }
    let mut data = Vec::with_capacity(32);
    data.extend(asked.timeout_ms.to_le_bytes());
    // Flags and Reserved.
    data.extend([0; 12]);
    data.extend(create_guid);
    CreateContext::new(NAME_DH2Q, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol;

    const KEY: LeaseKey = [0xAA; 16];
    const PARENT: LeaseKey = [0xBB; 16];

    fn asked(wanted: &CreateParameters) -> CreateRequest {
        let mut request = CreateRequest {
            requested_oplock_level: WireLevel::None,
            impersonation_level: ::smb2::msg::create::ImpersonationLevel::Impersonation,
            desired_access: ::smb2::types::flags::FileAccessMask::new(0),
            file_attributes: 0,
            share_access: ::smb2::msg::create::ShareAccess(0),
            create_disposition: ::smb2::msg::create::CreateDisposition::FileOpen,
            create_options: 0,
            name: String::new(),
            create_contexts: Vec::new(),
        };
        ask(&mut request, wanted, || KEY, false).unwrap();
        request
    }

    /// Returns the header of a context with a name of four bytes.
    fn head(next: u32, name: &[u8; 4], data_offset: u16, data_length: u32) -> Vec<u8> {
        let mut head = next.to_le_bytes().to_vec();
        head.extend([16, 0, 4, 0, 0, 0]);
        head.extend(data_offset.to_le_bytes());
        head.extend(data_length.to_le_bytes());
        head.extend(name);
        head.extend([0; 4]);
        head
    }

    fn disk_id() -> Vec<u8> {
        head(0, b"QFid", 0, 0)
    }

    #[test]
    fn a_version_1_lease_has_the_layout_of_ms_smb2() {
        let lease = Lease { state: 7, key: None, parent_key: None, version: 1 };
        let request = asked(&CreateParameters { lease: Some(lease), ..Default::default() });
        assert_eq!(request.requested_oplock_level, WireLevel::Lease);
        let mut expected = head(56, b"RqLs", 24, 32);
        expected.extend(KEY);
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0; 8]);
        expected.extend(disk_id());
        assert_eq!(request.create_contexts, expected);
    }

    #[test]
    fn a_version_2_lease_has_the_layout_of_ms_smb2() {
        let lease = Lease { state: 3, key: Some([0xCC; 16]), parent_key: Some(PARENT), version: 2 };
        let request = asked(&CreateParameters { lease: Some(lease), ..Default::default() });
        let mut expected = head(80, b"RqLs", 24, 52);
        expected.extend([0xCC; 16]);
        expected.extend([3, 0, 0, 0, 4, 0, 0, 0]);
        expected.extend([0; 8]);
        expected.extend(PARENT);
        expected.extend([0; 4]);
        // Padding to a multiple of 8 bytes.
        expected.extend([0; 4]);
        expected.extend(disk_id());
        assert_eq!(request.create_contexts, expected);
        let lease = Lease { parent_key: None, ..lease };
        let request = asked(&CreateParameters { lease: Some(lease), ..Default::default() });
        expected[44] = 0;
        expected[56..72].fill(0);
        assert_eq!(request.create_contexts, expected, "without a parent its flag is not set");
    }

    #[test]
    fn an_oplock_is_asked_for_by_its_level_and_the_files_identity_with_it() {
        for (level, wire) in [
            (OplockLevel::II, 0x01),
            (OplockLevel::Exclusive, 0x08),
            (OplockLevel::Batch, 0x09),
            (OplockLevel::Lease, 0xFF),
        ] {
            let wanted = CreateParameters { requested_oplock: Some(level), ..Default::default() };
            let request = asked(&wanted);
            assert_eq!(request.requested_oplock_level as u8, wire);
            assert_eq!(request.create_contexts, disk_id());
        }
        let none =
            CreateParameters { requested_oplock: Some(OplockLevel::None), ..Default::default() };
        assert!(asked(&none).create_contexts.is_empty());
    }

    #[test]
    fn a_level_that_is_named_beside_a_lease_stands_as_it_is() {
        let lease = Lease { state: 7, key: None, parent_key: None, version: 2 };
        let requested_oplock = Some(OplockLevel::Batch);
        let wanted =
            CreateParameters { lease: Some(lease), requested_oplock, ..Default::default() };
        assert_eq!(asked(&wanted).requested_oplock_level, WireLevel::Batch);
    }

    #[test]
    fn durable_requests_have_the_layout_of_ms_smb2() {
        let durable = Some(Durable { version: 1, timeout_ms: 0 });
        let request = asked(&CreateParameters { durable, ..Default::default() });
        let expected = [head(40, b"DHnQ", 24, 16), vec![0; 16], disk_id()].concat();
        assert_eq!(request.create_contexts, expected);

        let durable = Some(Durable { version: 2, timeout_ms: 0x1234 });
        let wanted = CreateParameters { durable, ..Default::default() };
        let request = asked(&wanted);
        let before = [head(56, b"DH2Q", 24, 32), vec![0x34, 0x12, 0, 0], vec![0; 12]].concat();
        assert_eq!(request.create_contexts[..40], before);
        assert_eq!(request.create_contexts[56..], disk_id());
        let guid = |request: &CreateRequest| request.create_contexts[40..56].to_vec();
        assert_ne!(guid(&request), vec![0; 16]);
        assert_ne!(guid(&request), guid(&asked(&wanted)), "each open has its own");
    }

    #[test]
    fn raw_contexts_go_out_as_they_are_and_without_anything_added() {
        let raw = |name: &[u8], data: &[u8]| protocol::CreateContext {
            name: name.to_vec(),
            data: data.to_vec(),
        };
        let create_contexts = vec![raw(b"MxAc", b""), raw(b"ExtA", &[1, 2, 3])];
        let request = asked(&CreateParameters { create_contexts, ..Default::default() });
        let mut expected = head(24, b"MxAc", 0, 0);
        expected.extend(head(0, b"ExtA", 24, 3));
        expected.extend([1, 2, 3, 0, 0, 0, 0, 0]);
        assert_eq!(request.create_contexts, expected);
    }

    #[test]
    fn a_name_the_wire_cannot_carry_is_refused() {
        let wanted = |length| CreateParameters {
            create_contexts: vec![protocol::CreateContext {
                name: vec![b'x'; length],
                data: vec![1],
            }],
            ..Default::default()
        };
        let mut request = asked(&wanted(MAX_NAME_BYTES));
        assert_eq!(request.create_contexts[10..12], u16::to_le_bytes(0xFFF8));
        let refused = ask(&mut request, &wanted(MAX_NAME_BYTES + 1), || KEY, false);
        assert!(matches!(refused, Err(OpError::Client(_))), "{refused:?}");
    }
}
