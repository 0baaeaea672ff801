//! Sizes, offsets and little-endian numbers of SMB2 messages.

use ::smb2::types::FileId;

use crate::protocol::LeaseKey;

pub(super) const SMB2_PROTOCOL_ID: &[u8] = b"\xfeSMB";
/// Size of the SMB2 header. The offsets in a response count from its start (MS-SMB2 2.2.1).
pub(super) const HEADER_BYTES: usize = 64;
/// Offsets of Command and MessageId in the header.
pub(super) const COMMAND: usize = 12;
pub(super) const MESSAGE_ID: usize = 24;
/// The MessageId of a message that a server sends without a request, such as a break (MS-SMB2
/// 3.3.4.6).
pub(super) const UNSOLICITED: u64 = u64::MAX;
/// The file id that, in a related compound, stands for the file that the first request opened
/// (MS-SMB2 3.2.4.1.4).
pub(super) const COMPOUND_FILE: FileId = FileId::SENTINEL;

/// Payload that one credit pays for, in bytes (MS-SMB2 3.1.5.2).
pub(super) const BYTES_PER_CREDIT: u32 = 64 << 10;
/// Largest payload that one READ or WRITE may carry, in bytes, whatever the server offers.
pub(super) const MAX_PAYLOAD: u32 = 8 << 20;
/// Largest answer to one QUERY_DIRECTORY in bytes: what one credit pays for.
pub(super) const LISTING_BYTES: u32 = BYTES_PER_CREDIT;
/// Size of a FileNetworkOpenInformation (MS-FSCC 2.4.34).
pub(super) const NETWORK_OPEN_INFORMATION_BYTES: u32 = 56;

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn key_at(bytes: &[u8], at: usize) -> Option<LeaseKey> {
    bytes.get(at..)?.first_chunk().copied()
}
