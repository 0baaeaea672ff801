//! Checks of frames from the server. A frame may be as long as the answers that are
//! outstanding, and holds a few answers that are not compressed. Any other frame ends the
//! connection before crate smb2 unpacks it, which could take any amount of memory and time.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use ::smb2::client::Cipher;
use ::smb2::msg::header::{Header, PROTOCOL_ID};
use ::smb2::msg::transform::{COMPRESSION_PROTOCOL_ID, TRANSFORM_PROTOCOL_ID, TransformHeader};
use ::smb2::types::Command;
use aes::{Aes128, Aes256};
use ctr::Ctr32BE;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};

use super::break_notification::Decryption;
use super::wire_format::{COMMAND, MAX_PAYLOAD, MESSAGE_ID, UNSOLICITED, u16_at, u32_at, u64_at};

/// Room in a frame for everything but payload, in bytes: the headers of a compound and of
/// encryption, create contexts, security tokens, and an error's data about a symbolic link.
const HEADROOM: u64 = 64 << 10;
const MAX_FRAME: u64 = MAX_PAYLOAD as u64 + HEADROOM;
/// Maximum number of messages in one frame, more than any server sends: a compound of this client
/// has three, and few requests are in flight at a time.
const MAX_MESSAGES: usize = 64;

/// Offsets of the fields of a message's header (MS-SMB2 2.2.1).
const STRUCTURE_SIZE: usize = 4;
const FLAGS: usize = 16;
const NEXT_COMMAND: usize = 20;
/// The value of StructureSize in every header.
const HEADER_SIZE: u16 = Header::SIZE as u16;
/// The first bytes of an SMB 1 message (MS-CIFS 2.2.3.1).
const SMB1_PROTOCOL_ID: &[u8] = b"\xffSMB";
const SMB2_FLAGS_SERVER_TO_REDIR: u32 = 1;
/// Offset of Nonce in SMB2 TRANSFORM_HEADER (MS-SMB2 2.2.41).
const NONCE: usize = 20;

/// The payload, in bytes, of the answers that a connection waits for. The answer to a
/// request whose future was dropped still counts, as it may come at any time; a request
/// that ended with an error does not.
#[derive(Default)]
pub(super) struct Outstanding(AtomicU64);

impl Outstanding {
    /// Adds the bytes of the answer to a request that is about to be sent.
    pub(super) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Removes the bytes of a request that was answered or has failed.
    pub(super) fn remove(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Checks the length of a frame that the server announces.
    ///
    /// # Errors
    /// The frame is longer than the answers to all outstanding requests.
    pub(super) fn allow(&self, length: usize) -> io::Result<()> {
        let bound = self.0.load(Ordering::Relaxed).saturating_add(HEADROOM).min(MAX_FRAME);
        match length as u64 <= bound {
            true => Ok(()),
            false => Err(malformed(&format!(
                "it announced a frame of {length} bytes, and at most {bound} can answer the pending requests"
            ))),
        }
    }
}

/// Returns the error of a connection that this program closes because of a frame. `what`
/// says what the server did wrong.
pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::other(format!(
        "smbench closed the connection because the server sent a malformed frame: {what}"
    ))
}

/// Checks the headers of a frame, so that crate smb2 finds nothing in them to close the
/// connection for: it would not say why.
///
/// # Errors
/// The frame is not one that a server sends in answer to this client's requests.
pub(super) fn check(frame: &[u8], decryption: Option<&Decryption>) -> io::Result<()> {
    let mut messages = Messages::open(frame, decryption)?;
    let mut at = 0_usize;
    for _ in 0..MAX_MESSAGES {
        let header = messages.header(at).ok_or_else(not_smb2)?;
        if header.starts_with(&COMPRESSION_PROTOCOL_ID) {
            return Err(malformed("it is a compressed frame, and compression was not negotiated"));
        }
        if !header.starts_with(&PROTOCOL_ID) || u16_at(&header, STRUCTURE_SIZE) != Some(HEADER_SIZE)
        {
            return Err(not_smb2());
        }
        let command = u16_at(&header, COMMAND).unwrap_or(u16::MAX);
        if Command::try_from(command).is_err() {
            return Err(malformed(&format!("it holds the unknown command 0x{command:04X}")));
        }
        let is_answer = u32_at(&header, FLAGS).unwrap_or(0) & SMB2_FLAGS_SERVER_TO_REDIR != 0;
        if !is_answer && u64_at(&header, MESSAGE_ID) != Some(UNSOLICITED) {
            return Err(malformed("it holds a request instead of an answer"));
        }
        match u32_at(&header, NEXT_COMMAND).unwrap_or(0) as usize {
            0 => return Ok(()),
            next if !next.is_multiple_of(8) => {
                return Err(malformed(&format!(
                    "a message in it begins after {next} bytes, which is not a multiple of 8"
                )));
            }
            next => at = at.saturating_add(next),
        }
    }
    Err(malformed(&format!("it holds more than {MAX_MESSAGES} messages")))
}

/// Adds what to do to the error about the first answer of a connection, which often comes from
/// another kind of server. `frame` is empty if it was not read.
pub(super) fn on_first_answer(error: io::Error, frame: &[u8]) -> io::Error {
    if frame.starts_with(SMB1_PROTOCOL_ID) {
        return io::Error::other(
            "the server answers SMB 1 only: enable SMB 2 or 3 on it, which smbench needs",
        );
    }
    io::Error::other(format!("{error}; is an SMB server at this port? 445 is usual"))
}

fn not_smb2() -> io::Error {
    malformed("it is not an SMB2 message, or it is cut off")
}

/// The messages of a frame, of which only the headers are decrypted. This does not authenticate an
/// encrypted frame: crate smb2 does that, and decrypts the same bytes again.
struct Messages<'a> {
    bytes: &'a [u8],
    key_stream: Option<KeyStream>,
}

enum KeyStream {
    Aes128(Ctr32BE<Aes128>),
    Aes256(Ctr32BE<Aes256>),
}

impl<'a> Messages<'a> {
    /// Opens a frame. Fails if it is cut off, or is encrypted although there is no session.
    fn open(frame: &'a [u8], decryption: Option<&Decryption>) -> io::Result<Messages<'a>> {
        if !frame.starts_with(&TRANSFORM_PROTOCOL_ID) {
            return Ok(Messages { bytes: frame, key_stream: None });
        }
        let decryption = decryption
            .ok_or_else(|| malformed("it is encrypted, and the session has no key for it"))?;
        let (transform, bytes) =
            frame.split_at_checked(TransformHeader::SIZE).ok_or_else(not_smb2)?;
        let key_stream = KeyStream::new(&transform[NONCE..], decryption).ok_or_else(not_smb2)?;
        Ok(Messages { bytes, key_stream: Some(key_stream) })
    }

    fn header(&mut self, at: usize) -> Option<[u8; Header::SIZE]> {
        let mut header: [u8; Header::SIZE] = *self.bytes.get(at..)?.first_chunk()?;
        match &mut self.key_stream {
            None => {}
            Some(KeyStream::Aes128(stream)) => {
                stream.try_seek(at).ok()?;
                stream.try_apply_keystream(&mut header).ok()?;
            }
            Some(KeyStream::Aes256(stream)) => {
                stream.try_seek(at).ok()?;
                stream.try_apply_keystream(&mut header).ok()?;
            }
        }
        Some(header)
    }
}

impl KeyStream {
    /// Starts the key stream of a frame. Both modes encrypt in counter mode, but begin at a
    /// different block: GCM as in NIST SP 800-38D section 7.1, CCM as in RFC 3610 section 2.3.
    fn new(nonce: &[u8], decryption: &Decryption) -> Option<KeyStream> {
        let mut first = [0; 16];
        match decryption.cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => {
                first[..12].copy_from_slice(nonce.get(..12)?);
                first[15] = 2;
            }
            Cipher::Aes128Ccm | Cipher::Aes256Ccm => {
                // The size of the counter in bytes, minus one.
                first[0] = 3;
                first[1..12].copy_from_slice(nonce.get(..11)?);
                first[15] = 1;
            }
        }
        let key = &decryption.key;
        Some(match decryption.cipher {
            Cipher::Aes128Gcm | Cipher::Aes128Ccm => {
                KeyStream::Aes128(Ctr32BE::new_from_slices(key, &first).ok()?)
            }
            Cipher::Aes256Gcm | Cipher::Aes256Ccm => {
                KeyStream::Aes256(Ctr32BE::new_from_slices(key, &first).ok()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ::smb2::crypto::encryption::encrypt_message;

    use super::*;

    fn message(next: u32, payload: usize) -> Vec<u8> {
        let mut message = b"\xfeSMB\x40\0".to_vec();
        message.resize(Header::SIZE, 0);
        message[FLAGS] = 1;
        message[NEXT_COMMAND..MESSAGE_ID].copy_from_slice(&next.to_le_bytes());
        message.resize(Header::SIZE + payload, 0);
        message
    }

    /// Returns a frame of `count` messages of 72 bytes each.
    fn compound(count: usize) -> Vec<u8> {
        let mut frame = message(72, 8).repeat(count - 1);
        frame.extend(message(0, 8));
        frame
    }

    fn sealed(plain: &[u8], decryption: &Decryption) -> Vec<u8> {
        let nonce = [7; 16];
        let Decryption { session_id, key, cipher } = decryption;
        let (mut frame, message) =
            encrypt_message(plain, key, *cipher, &nonce, *session_id).unwrap();
        frame.extend(message);
        frame
    }

    fn fault(frame: &[u8], decryption: Option<&Decryption>) -> Option<String> {
        check(frame, decryption).err().map(|error| error.to_string())
    }

    #[test]
    fn only_a_few_answers_that_are_not_compressed_pass_encrypted_or_not() {
        let mut request = message(0, 8);
        request[FLAGS] = 0;
        let mut unsolicited = request.clone();
        unsolicited[MESSAGE_ID..MESSAGE_ID + 8].fill(0xFF);
        // The request is the last of a compound whose parts are no multiple of a cipher's block.
        let hidden = [message(72, 8), request.clone()].concat();
        let mut compressed = message(0, 8);
        compressed[0] = 0xFC;
        let mut unknown = message(0, 8);
        unknown[COMMAND..COMMAND + 2].fill(0x77);
        let unaligned = [message(76, 12), message(0, 8)].concat();
        let mut large_header = message(0, 8);
        large_header[STRUCTURE_SIZE] = 65;
        let cases = [
            (message(0, 8), None),
            (unsolicited, None),
            (compound(3), None),
            (compound(MAX_MESSAGES), None),
            (compound(MAX_MESSAGES + 1), Some("more than 64 messages")),
            (message(8, 64).repeat(1_000), Some("not an SMB2 message")),
            (request, Some("a request instead of an answer")),
            (hidden, Some("a request instead of an answer")),
            (compressed, Some("a compressed frame")),
            (unknown, Some("the unknown command 0x7777")),
            (unaligned, Some("after 76 bytes")),
            (large_header, Some("not an SMB2 message")),
            (message(0, 0)[..63].to_vec(), Some("not an SMB2 message")),
            (message(u32::MAX - 7, 8), Some("not an SMB2 message")),
            (b"HTTP/1.1 400 Bad Request".to_vec(), Some("not an SMB2 message")),
        ];
        let ciphers = [
            (Cipher::Aes128Ccm, 16),
            (Cipher::Aes128Gcm, 16),
            (Cipher::Aes256Ccm, 32),
            (Cipher::Aes256Gcm, 32),
        ];
        for (plain, expected) in cases {
            let mut faults = vec![fault(&plain, None)];
            for (cipher, key_bytes) in ciphers {
                let decryption = Decryption { session_id: 5, key: vec![9; key_bytes], cipher };
                faults.push(fault(&sealed(&plain, &decryption), Some(&decryption)));
            }
            for found in faults {
                match (&found, expected) {
                    (Some(found), Some(expected)) => {
                        assert!(found.starts_with("smbench closed the connection"), "{found}");
                        assert!(found.contains(expected), "{found}");
                    }
                    _ => assert_eq!(found.as_deref(), expected),
                }
            }
        }
    }

    #[test]
    fn an_encrypted_frame_without_a_session_does_not_pass() {
        let decryption = Decryption { session_id: 5, key: vec![9; 16], cipher: Cipher::Aes128Gcm };
        let frame = sealed(&message(0, 8), &decryption);
        assert!(fault(&frame, None).is_some());
        for length in 0..frame.len() - 8 {
            assert!(fault(&frame[..length], Some(&decryption)).is_some(), "{length}");
        }
    }

    #[test]
    fn a_frame_is_as_long_as_what_is_outstanding_at_most() {
        let outstanding = Outstanding::default();
        let headroom = HEADROOM as usize;
        assert!(outstanding.allow(headroom).is_ok());
        let error = outstanding.allow(headroom + 1).unwrap_err().to_string();
        assert!(error.contains("65537 bytes, and at most 65536"), "{error}");
        outstanding.add(4_096);
        outstanding.add(100);
        assert!(outstanding.allow(headroom + 4_196).is_ok());
        outstanding.remove(4_096);
        assert!(outstanding.allow(headroom + 101).is_err());
        outstanding.add(1 << 40);
        assert!(outstanding.allow(MAX_FRAME as usize + 1).is_err());
    }
}
