//! The answer to a CREATE (MS-SMB2 2.2.14): what was opened, and what was granted.

use ::smb2::types::FileId as WireFileId;

use super::wire_format::{HEADER_BYTES, key_at, u16_at, u32_at, u64_at};
use crate::backend::OpError;
use crate::protocol::create::OplockLevel;
use crate::protocol::{CreateAction, Durable, FileId, Granted, GrantedLease, LeaseState};

const STRUCTURE_SIZE: u16 = 89;
/// Size of the fixed part, before the create contexts.
const FIXED_BYTES: usize = 88;
/// Size of an SMB2_CREATE_CONTEXT without its name and data.
const CONTEXT_HEADER_BYTES: usize = 16;

const SMB2_LEASE_FLAG_BREAK_IN_PROGRESS: u32 = 0x02;
pub(super) const SMB2_LEASE_FLAG_PARENT_LEASE_KEY_SET: u32 = 0x04;

/// An open file, whether or not the rest of the answer is valid.
pub(super) struct CreateResponse<'a> {
    pub(super) file_id: WireFileId,
    oplock: u8,
    action: u32,
    contexts: &'a [u8],
}

impl<'a> CreateResponse<'a> {
    /// Reads the file's id, so that the file can be closed if the rest is malformed.
    ///
    /// # Errors
    /// The answer is so malformed that not even the file's id can be read.
    pub(super) fn parse(body: &'a [u8]) -> Result<CreateResponse<'a>, OpError> {
        if body.len() < FIXED_BYTES || u16_at(body, 0) != Some(STRUCTURE_SIZE) {
            return Err(malformed("its fixed part is missing"));
        }
        let field = |at| u64_at(body, at).ok_or_else(|| malformed("it is cut off"));
        let file_id = WireFileId { persistent: field(64)?, volatile: field(72)? };
        let (offset, length) = (u32_at(body, 80), u32_at(body, 84));
        let contexts = match (offset, length) {
            (_, Some(0)) | (None, _) | (_, None) => Some(&body[..0]),
            (Some(offset), Some(length)) => (offset as usize)
                .checked_sub(HEADER_BYTES)
                .filter(|start| *start >= FIXED_BYTES)
                .and_then(|start| body.get(start..start.checked_add(length as usize)?)),
        };
        Ok(CreateResponse {
            file_id,
            oplock: body[2],
            action: u32_at(body, 4).unwrap_or(u32::MAX),
            // Contexts that lie outside of the answer become a byte that no context can be.
            contexts: contexts.unwrap_or(&[0]),
        })
    }

    /// Returns what the open was granted.
    ///
    /// # Errors
    /// The answer is malformed. The file is open all the same.
    pub(super) fn granted(&self) -> Result<Granted, OpError> {
        let level = |level: &OplockLevel| *level as u8 == self.oplock;
        let oplock = OplockLevel::ALL.into_iter().find(level);
        let mut granted = Granted {
            file_id: FileId {
                persistent: self.file_id.persistent,
                volatile: self.file_id.volatile,
            },
            disk_file_id: None,
            action: match self.action {
                0 => CreateAction::Superseded,
                1 => CreateAction::Opened,
                2 => CreateAction::Created,
                3 => CreateAction::Overwritten,
                _ => return Err(malformed("its CreateAction is unknown")),
            },
            oplock: oplock.ok_or_else(|| malformed("its oplock level is unknown"))?,
            lease: None,
            durable: None,
        };
        for context in Contexts(self.contexts) {
            match context? {
                (b"RqLs", data) => granted.lease = Some(lease(data)?),
                (b"QFid", data) => {
                    let id = u64_at(data, 0).ok_or_else(|| malformed("QFid is cut off"))?;
                    // A file system without file ids answers 0.
                    granted.disk_file_id = Some(id).filter(|id| *id != 0);
                }
                (b"DHnQ", _) => granted.durable = Some(Durable { version: 1, timeout_ms: 0 }),
                (b"DH2Q", data) => {
                    let timeout = u32_at(data, 0).ok_or_else(|| malformed("DH2Q is cut off"))?;
                    granted.durable = Some(Durable { version: 2, timeout_ms: timeout });
                }
                _ => {}
            }
        }
        Ok(granted)
    }
}

/// Parses SMB2_CREATE_RESPONSE_LEASE (32 bytes, MS-SMB2 2.2.14.2.10) or its _V2 (52 bytes,
/// 2.2.14.2.11).
fn lease(data: &[u8]) -> Result<GrantedLease, OpError> {
    let key = |at| key_at(data, at).ok_or_else(|| malformed("its lease is cut off"));
    let number = |at| u32_at(data, at).ok_or_else(|| malformed("its lease is cut off"));
    let second = match data.len() {
        32 => false,
        52 => true,
        _ => return Err(malformed("its lease has neither 32 nor 52 bytes")),
    };
    let flags = number(20)?;
    let has_parent = second && flags & SMB2_LEASE_FLAG_PARENT_LEASE_KEY_SET != 0;
    Ok(GrantedLease {
        key: key(0)?,
        state: LeaseState::from_bits(number(16)?),
        breaking: flags & SMB2_LEASE_FLAG_BREAK_IN_PROGRESS != 0,
        parent_key: if has_parent { Some(key(32)?) } else { None },
        epoch: if second { u16_at(data, 48).unwrap_or_default() } else { 0 },
    })
}

/// The rest of a chain of SMB2_CREATE_CONTEXT (MS-SMB2 2.2.13.2). Each step advances by at least
/// one header and allocates nothing.
struct Contexts<'a>(&'a [u8]);

impl<'a> Iterator for Contexts<'a> {
    /// Name and data.
    type Item = Result<(&'a [u8], &'a [u8]), OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let context = self.step();
        if context.is_none() {
            self.0 = &[];
        }
        Some(context.ok_or_else(|| malformed("a create context lies outside of the response")))
    }
}

impl<'a> Contexts<'a> {
    fn step(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let next = u32_at(self.0, 0)? as usize;
        let (context, rest) = match next {
            0 => (self.0, &self.0[..0]),
            next if next >= CONTEXT_HEADER_BYTES => self.0.split_at_checked(next)?,
            _ => return None,
        };
        let part = |offset: usize, length: usize| match length {
            0 => Some(&context[..0]),
            _ if offset < CONTEXT_HEADER_BYTES => None,
            _ => context.get(offset..offset.checked_add(length)?),
        };
        let name = part(u16_at(context, 4)?.into(), u16_at(context, 6)?.into())?;
        let data = part(u16_at(context, 10)?.into(), u32_at(context, 12)? as usize)?;
        self.0 = rest;
        Some((name, data))
    }
}

fn malformed(what: &str) -> OpError {
    OpError::Client(format!("malformed CREATE response: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an answer to a CREATE with the given contexts.
    fn answer(oplock: u8, action: u32, contexts: &[u8]) -> Vec<u8> {
        let mut body = vec![89, 0, oplock, 0];
        body.extend(action.to_le_bytes());
        body.resize(64, 0);
        body.extend([7_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat());
        let offset = if contexts.is_empty() { 0 } else { 64 + 88_u32 };
        body.extend(offset.to_le_bytes());
        body.extend((contexts.len() as u32).to_le_bytes());
        body.extend(contexts);
        body
    }

    fn context(next: u32, name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut context = next.to_le_bytes().to_vec();
        context.extend([16, 0, 4, 0, 0, 0, 24, 0]);
        context.extend((data.len() as u32).to_le_bytes());
        context.extend(name);
        context.extend([0; 4]);
        context.extend(data);
        context
    }

    fn granted(body: &[u8]) -> Result<Granted, OpError> {
        CreateResponse::parse(body)?.granted()
    }

    #[test]
    fn a_plain_answer_grants_nothing_but_the_file() {
        let expected = Granted {
            file_id: FileId { persistent: 7, volatile: 9 },
            disk_file_id: None,
            action: CreateAction::Created,
            oplock: OplockLevel::None,
            lease: None,
            durable: None,
        };
        assert_eq!(granted(&answer(0, 2, &[])), Ok(expected));
    }

    #[test]
    fn a_version_2_lease_has_a_parent_and_an_epoch() {
        let mut data = vec![0xAA; 16];
        data.extend(7_u32.to_le_bytes());
        data.extend(6_u32.to_le_bytes());
        data.extend([0; 8]);
        data.extend([0xBB; 16]);
        data.extend([5, 0, 0, 0]);
        let lease = granted(&answer(0xFF, 1, &context(0, b"RqLs", &data))).unwrap().lease.unwrap();
        assert_eq!((lease.key, lease.state, lease.epoch), ([0xAA; 16], LeaseState::RWH, 5));
        assert_eq!((lease.breaking, lease.parent_key), (true, Some([0xBB; 16])));
        data[20] = 0;
        let lease = granted(&answer(0xFF, 1, &context(0, b"RqLs", &data))).unwrap().lease.unwrap();
        assert_eq!((lease.breaking, lease.parent_key), (false, None), "its flag is not set");
    }

    #[test]
    fn a_version_1_lease_has_neither() {
        let mut data = vec![0xAA; 16];
        data.extend([3, 0, 0, 0, 4, 0, 0, 0]);
        data.extend([0; 8]);
        let lease = granted(&answer(0xFF, 1, &context(0, b"RqLs", &data))).unwrap().lease.unwrap();
        assert_eq!((lease.state, lease.epoch), (LeaseState::RH, 0));
        assert_eq!((lease.breaking, lease.parent_key), (false, None));
    }

    #[test]
    fn contexts_stand_in_a_chain_and_unknown_ones_are_passed_over() {
        let mut chain = context(32, b"MxAc", &[0; 8]);
        let mut disk = 42_u64.to_le_bytes().to_vec();
        disk.resize(32, 0);
        chain.extend(context(56, b"QFid", &disk));
        chain.extend(context(0, b"DH2Q", &[0x20, 0xbf, 2, 0, 0, 0, 0, 0]));
        let granted = granted(&answer(9, 3, &chain)).unwrap();
        assert_eq!((granted.disk_file_id, granted.oplock), (Some(42), OplockLevel::Batch));
        assert_eq!(granted.durable, Some(Durable { version: 2, timeout_ms: 180_000 }));
        assert_eq!(granted.action, CreateAction::Overwritten);
    }

    #[test]
    fn a_file_system_without_ids_gives_none() {
        let granted = granted(&answer(9, 1, &context(0, b"QFid", &[0; 32]))).unwrap();
        assert_eq!(granted.disk_file_id, None);
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error_at_every_length() {
        let whole = answer(0xFF, 1, &context(0, b"RqLs", &[0; 52]));
        for length in 0..whole.len() {
            assert!(matches!(granted(&whole[..length]), Err(OpError::Client(_))), "{length}");
        }
        assert!(granted(&whole).is_ok());
    }

    #[test]
    fn contexts_that_lie_outside_their_place_are_an_error() {
        let whole = context(0, b"RqLs", &[0; 32]);
        let with = |at: usize, bytes: &[u8]| {
            let mut bent = whole.clone();
            bent[at..at + bytes.len()].copy_from_slice(bytes);
            bent
        };
        for chain in [
            // Next: back to itself, into its own header, beyond the end.
            with(0, &[1, 0, 0, 0]),
            with(0, &[15, 0, 0, 0]),
            with(0, &[0xFF; 4]),
            // Into its own middle, so that the data lies outside.
            with(0, &[16, 0, 0, 0]),
            // The name and the data: beyond the end, and into the header.
            with(4, &[0xFF, 0xFF]),
            with(6, &[0xFF, 0xFF]),
            with(4, &[0, 0]),
            with(10, &[0xFF, 0xFF]),
            with(10, &[4, 0]),
            with(12, &[0xFF; 4]),
            // A lease whose length belongs to no version.
            with(12, &[31, 0, 0, 0]),
            context(0, b"QFid", &[0; 7]),
            context(0, b"DH2Q", &[0; 3]),
            vec![0; 15],
        ] {
            let body = answer(0xFF, 1, &chain);
            assert!(matches!(granted(&body), Err(OpError::Client(_))), "{chain:?}");
        }
        for (offset, length) in [(0_u32, 8_u32), (64 + 80, 8), (64 + 88, u32::MAX), (u32::MAX, 8)] {
            let mut body = answer(0, 1, &whole);
            body[80..84].copy_from_slice(&offset.to_le_bytes());
            body[84..88].copy_from_slice(&length.to_le_bytes());
            assert!(matches!(granted(&body), Err(OpError::Client(_))), "{offset} {length}");
        }
    }

    #[test]
    fn an_answer_with_numbers_nobody_knows_still_names_the_file_to_close() {
        for body in [answer(5, 1, &[]), answer(0, 4, &[]), answer(0, 1, &[0; 15])] {
            let opened = CreateResponse::parse(&body).unwrap();
            assert_eq!(opened.file_id, WireFileId { persistent: 7, volatile: 9 });
            assert!(opened.granted().is_err());
        }
    }
}
