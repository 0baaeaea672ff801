//! Oplock and lease break notifications (MS-SMB2 2.2.23) among a connection's frames.

use ::smb2::client::Cipher;
use ::smb2::crypto::encryption::decrypt_message;
use ::smb2::msg::transform::{TRANSFORM_PROTOCOL_ID, TransformHeader};

use super::wire_format::{
    COMMAND, HEADER_BYTES, MESSAGE_ID, SMB2_PROTOCOL_ID, UNSOLICITED, key_at, u16_at, u32_at,
    u64_at,
};
use crate::protocol::create::OplockLevel;
use crate::protocol::{Break, FileId, LeaseBreak, LeaseState, OplockBreak};

const OPLOCK_BREAK: u16 = 0x12;
pub(super) const OPLOCK_NOTIFICATION_BYTES: usize = 24;
const LEASE_NOTIFICATION_BYTES: usize = 44;
const SMB2_NOTIFY_BREAK_LEASE_FLAG_ACK_REQUIRED: u32 = 0x01;

/// OriginalMessageSize and SessionId in SMB2 TRANSFORM_HEADER (MS-SMB2 2.2.41).
const ORIGINAL_SIZE: usize = 36;
const TRANSFORM_SESSION: usize = 44;

/// The key and the cipher that decrypt the frames of a session.
pub(super) struct Decryption {
    pub(super) session_id: u64,
    pub(super) key: Vec<u8>,
    pub(super) cipher: Cipher,
}

/// Returns the break that a frame carries, if it carries one. Samba sends breaks in plain text even
/// where everything else is encrypted. An encrypted frame is decrypted only if it is as long as a
/// break, so that bulk data is not decrypted twice.
///
/// # Errors
/// The reason why the break is malformed.
pub(super) fn break_in(
    frame: &[u8],
    decryption: Option<&Decryption>,
) -> Option<Result<Break, &'static str>> {
    if is_break(frame) {
        return Some(parse(&frame[HEADER_BYTES..]));
    }
    let message = decrypted(frame, decryption?)?;
    is_break(&message).then(|| parse(&message[HEADER_BYTES..]))
}

fn is_break(message: &[u8]) -> bool {
    message.starts_with(SMB2_PROTOCOL_ID)
        && u16_at(message, COMMAND) == Some(OPLOCK_BREAK)
        && u64_at(message, MESSAGE_ID) == Some(UNSOLICITED)
        && message.len() >= HEADER_BYTES
}

/// Decrypts a frame if it is as long as a break. Crate smb2 decrypts the frame again, and ends the
/// connection if the frame is forged.
fn decrypted(frame: &[u8], decryption: &Decryption) -> Option<Vec<u8>> {
    if !frame.starts_with(&TRANSFORM_PROTOCOL_ID) {
        return None;
    }
    let size = u32_at(frame, ORIGINAL_SIZE)? as usize;
    let sizes = [OPLOCK_NOTIFICATION_BYTES, LEASE_NOTIFICATION_BYTES];
    if !sizes.contains(&size.checked_sub(HEADER_BYTES)?)
        || u64_at(frame, TRANSFORM_SESSION)? != decryption.session_id
    {
        return None;
    }
    let (header, message) = frame.split_at_checked(TransformHeader::SIZE)?;
    decrypt_message(header, message, &decryption.key, decryption.cipher).ok()
}

fn parse(body: &[u8]) -> Result<Break, &'static str> {
    let cut_off = "it is cut off";
    let size = usize::from(u16_at(body, 0).ok_or(cut_off)?);
    if body.len() < size {
        return Err(cut_off);
    }
    match size {
        OPLOCK_NOTIFICATION_BYTES => {
            let level = match body[2] {
                0 => OplockLevel::None,
                1 => OplockLevel::II,
                _ => return Err("an oplock can break only to none or to level II"),
            };
            let persistent = u64_at(body, 8).ok_or(cut_off)?;
            let volatile = u64_at(body, 16).ok_or(cut_off)?;
            Ok(Break::Oplock(OplockBreak { file_id: FileId { persistent, volatile }, level }))
        }
        LEASE_NOTIFICATION_BYTES => {
            let flags = u32_at(body, 4).ok_or(cut_off)?;
            Ok(Break::Lease(LeaseBreak {
                key: key_at(body, 8).ok_or(cut_off)?,
                current: LeaseState::from_bits(u32_at(body, 24).ok_or(cut_off)?),
                new: LeaseState::from_bits(u32_at(body, 28).ok_or(cut_off)?),
                epoch: u16_at(body, 2).ok_or(cut_off)?,
                acknowledgement_required: flags & SMB2_NOTIFY_BREAK_LEASE_FLAG_ACK_REQUIRED != 0,
            }))
        }
        _ => Err("it is the break of neither an oplock nor a lease"),
    }
}

#[cfg(test)]
mod tests {
    use ::smb2::crypto::encryption::encrypt_message;

    use super::*;

    const FILE: FileId = FileId { persistent: 0x0102_0304, volatile: 0x0A0B_0C0D };
    const OPLOCK: Break = Break::Oplock(OplockBreak { file_id: FILE, level: OplockLevel::II });
    const LEASE: Break = Break::Lease(LeaseBreak {
        key: [0xAA; 16],
        current: LeaseState::RWH,
        new: LeaseState::RH,
        epoch: 3,
        acknowledgement_required: true,
    });

    fn message(command: u8, message_id: u64, body: &[u8]) -> Vec<u8> {
        let mut message = b"\xfeSMB".to_vec();
        message.extend([64, 0]);
        message.resize(64, 0);
        message[COMMAND] = command;
        message[MESSAGE_ID..MESSAGE_ID + 8].copy_from_slice(&message_id.to_le_bytes());
        message.extend(body);
        message
    }

    fn oplock_body() -> Vec<u8> {
        let mut body = vec![24, 0, 1, 0, 0, 0, 0, 0];
        body.extend([4, 3, 2, 1, 0, 0, 0, 0, 0x0D, 0x0C, 0x0B, 0x0A, 0, 0, 0, 0]);
        body
    }

    fn lease_body() -> Vec<u8> {
        let mut body = vec![44, 0, 3, 0, 1, 0, 0, 0];
        body.extend([0xAA; 16]);
        body.extend([7, 0, 0, 0, 3, 0, 0, 0]);
        body.extend([0; 12]);
        body
    }

    fn notification(body: &[u8]) -> Vec<u8> {
        message(0x12, UNSOLICITED, body)
    }

    #[test]
    fn breaks_are_read_as_ms_smb2_writes_them() {
        let oplock = notification(&oplock_body());
        assert_eq!((oplock.len(), break_in(&oplock, None)), (88, Some(Ok(OPLOCK))));
        let lease = notification(&lease_body());
        assert_eq!((lease.len(), break_in(&lease, None)), (108, Some(Ok(LEASE))));
        let mut unasked = lease_body();
        unasked[4] = 0;
        let Some(Ok(Break::Lease(lease))) = break_in(&notification(&unasked), None) else {
            panic!()
        };
        assert!(!lease.acknowledgement_required);
    }

    #[test]
    fn breaks_are_seen_through_encryption() {
        let key = vec![7; 16];
        for cipher in [Cipher::Aes128Ccm, Cipher::Aes128Gcm] {
            let decryption = Decryption { session_id: 5, key: key.clone(), cipher };
            let sealed = |plain: &[u8], session_id| {
                let (mut frame, message) =
                    encrypt_message(plain, &key, cipher, &[1; 16], session_id).unwrap();
                frame.extend(message);
                frame
            };
            for (body, expected) in [(oplock_body(), OPLOCK), (lease_body(), LEASE)] {
                let frame = sealed(&notification(&body), 5);
                assert_eq!(break_in(&frame, Some(&decryption)), Some(Ok(expected)));
                assert_eq!(break_in(&frame, None), None);
                let mut forged = frame.clone();
                *forged.last_mut().unwrap() ^= 1;
                assert_eq!(break_in(&forged, Some(&decryption)), None);
                assert_eq!(break_in(&frame[..60], Some(&decryption)), None);
            }
            let others = sealed(&notification(&oplock_body()), 6);
            assert_eq!(break_in(&others, Some(&decryption)), None, "another session's");
            let answer = sealed(&message(8, 3, &[0; 24]), 5);
            assert_eq!(break_in(&answer, Some(&decryption)), None, "as long as a break");
        }
    }

    #[test]
    fn a_frame_that_is_no_break_is_left_alone() {
        for frame in [
            Vec::new(),
            b"\xfeSMB".to_vec(),
            // The answer to an acknowledgement, and a notification of another kind.
            message(0x12, 4, &oplock_body()),
            message(0x0F, UNSOLICITED, &oplock_body()),
            notification(&[])[..63].to_vec(),
            b"\xfdSMB".to_vec(),
        ] {
            assert_eq!(break_in(&frame, None), None, "{frame:?}");
        }
    }

    #[test]
    fn a_break_that_makes_no_sense_is_an_error_whatever_its_length() {
        for whole in [oplock_body(), lease_body()] {
            for length in 0..whole.len() {
                let cut = break_in(&notification(&whole[..length]), None);
                assert!(matches!(cut, Some(Err(_))), "{length}");
            }
        }
        for (at, value) in [(0, 36), (0, 0), (1, 0xFF), (2, 8), (2, 0xFF)] {
            let mut body = oplock_body();
            body[at] = value;
            assert!(matches!(break_in(&notification(&body), None), Some(Err(_))), "{at} {value}");
        }
    }
}
