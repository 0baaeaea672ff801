//! Checks of answers. An answer is a success if it answers the command that was sent, its
//! status is STATUS_SUCCESS, and its body has the layout of that response.

use ::smb2::client::connection::Frame;
use ::smb2::types::Command;

use super::wire_format::{HEADER_BYTES, NETWORK_OPEN_INFORMATION_BYTES, u16_at, u32_at};
use crate::backend::OpError;
use crate::protocol::NtStatus;

/// Size of a FileIdBothDirectoryInformation without its name (MS-FSCC 2.4.22).
const DIRECTORY_ENTRY_BYTES: usize = 104;

/// Returns the body of `frame` if it is a successful answer to `command`.
///
/// # Errors
/// [`OpError::Status`] if the status is not STATUS_SUCCESS, even if it is informational.
/// [`OpError::Client`] if the frame answers another command or its body is malformed.
pub(super) fn successful_body(command: Command, frame: Frame) -> Result<Vec<u8>, OpError> {
    let other = frame.header.command;
    if other != command {
        let other = layout(other).map_or("another command", |layout| layout.0);
        return Err(malformed(command, &format!("it answers {other}")));
    }
    match NtStatus(frame.header.status.0) {
        NtStatus::SUCCESS => match fault(command, &frame.body) {
            None => Ok(frame.body),
            Some(fault) => Err(malformed(command, fault)),
        },
        status => Err(OpError::Status(status)),
    }
}

pub(super) fn malformed(command: Command, fault: &str) -> OpError {
    let name = layout(command).map_or("unknown", |layout| layout.0);
    OpError::Client(format!("malformed {name} response: {fault}"))
}

/// Returns the name of a command that this client sends, and the values that the StructureSize of
/// its response may have (MS-SMB2 2.2.10 to 2.2.40). OPLOCK_BREAK has one value for an oplock and
/// one for a lease.
fn layout(command: Command) -> Option<(&'static str, &'static [u16])> {
    Some(match command {
        Command::Logoff => ("LOGOFF", &[4]),
        Command::TreeConnect => ("TREE_CONNECT", &[16]),
        Command::TreeDisconnect => ("TREE_DISCONNECT", &[4]),
        Command::Create => ("CREATE", &[89]),
        Command::Close => ("CLOSE", &[60]),
        Command::Flush => ("FLUSH", &[4]),
        Command::Read => ("READ", &[17]),
        Command::Write => ("WRITE", &[17]),
        Command::Lock => ("LOCK", &[4]),
        Command::Ioctl => ("IOCTL", &[49]),
        Command::QueryDirectory => ("QUERY_DIRECTORY", &[9]),
        Command::QueryInfo => ("QUERY_INFO", &[9]),
        Command::SetInfo => ("SET_INFO", &[2]),
        Command::OplockBreak => ("OPLOCK_BREAK", &[24, 36]),
        _ => return None,
    })
}

/// Returns why `body` is not the body of a successful response to `command`, or None if it is.
fn fault(command: Command, body: &[u8]) -> Option<&'static str> {
    let size = u16_at(body, 0).unwrap_or_default();
    if !layout(command).is_some_and(|(_, sizes)| sizes.contains(&size)) {
        return Some("its StructureSize is wrong");
    }
    // An odd size counts the first byte of a buffer that may be empty.
    if body.len() < usize::from(size & !1) {
        return Some("it is cut off");
    }
    match command {
        Command::QueryInfo => {
            let length = output_buffer(body).map(<[u8]>::len);
            (length != Some(NETWORK_OPEN_INFORMATION_BYTES as usize))
                .then_some("it does not contain the requested information")
        }
        Command::QueryDirectory => {
            (!output_buffer(body).is_some_and(is_listing)).then_some("it holds no listing")
        }
        _ => None,
    }
}

/// Returns the buffer of a QUERY_INFO or QUERY_DIRECTORY response (MS-SMB2 2.2.38 and 2.2.34).
fn output_buffer(body: &[u8]) -> Option<&[u8]> {
    let start = usize::from(u16_at(body, 2)?).checked_sub(HEADER_BYTES)?;
    body.get(start..start.checked_add(u32_at(body, 4)? as usize)?)
}

/// Returns whether there is at least one entry, and each lies within the buffer.
fn is_listing(mut entries: &[u8]) -> bool {
    loop {
        let (Some(next), Some(name_bytes)) = (u32_at(entries, 0), u32_at(entries, 60)) else {
            return false;
        };
        let entry_bytes = DIRECTORY_ENTRY_BYTES.saturating_add(name_bytes as usize);
        let (entry, rest) = match next as usize {
            0 => (entries, None),
            next => match entries.split_at_checked(next) {
                Some((entry, rest)) => (entry, Some(rest)),
                None => return false,
            },
        };
        match rest {
            _ if entry.len() < entry_bytes => return false,
            None => return true,
            Some(rest) => entries = rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use ::smb2::msg::header::Header;
    use ::smb2::types::status::NtStatus as WireStatus;

    use super::*;

    const SENT: [(Command, &[u16]); 14] = [
        (Command::Logoff, &[4]),
        (Command::TreeConnect, &[16]),
        (Command::TreeDisconnect, &[4]),
        (Command::Create, &[89]),
        (Command::Close, &[60]),
        (Command::Flush, &[4]),
        (Command::Read, &[17]),
        (Command::Write, &[17]),
        (Command::Lock, &[4]),
        (Command::Ioctl, &[49]),
        (Command::QueryDirectory, &[9]),
        (Command::QueryInfo, &[9]),
        (Command::SetInfo, &[2]),
        (Command::OplockBreak, &[24, 36]),
    ];

    /// Returns a response of StructureSize `size` with `buffer` after its fixed part.
    fn body(size: u16, buffer: &[u8]) -> Vec<u8> {
        let mut body = size.to_le_bytes().to_vec();
        body.extend(72_u16.to_le_bytes());
        body.extend((buffer.len() as u32).to_le_bytes());
        body.resize(usize::from(size & !1), 0);
        body.extend(buffer);
        body
    }

    fn entry(next: u32, name: &[u8]) -> Vec<u8> {
        let mut entry = next.to_le_bytes().to_vec();
        entry.resize(60, 0);
        entry.extend((name.len() as u32).to_le_bytes());
        entry.resize(DIRECTORY_ENTRY_BYTES, 0);
        entry.extend(name);
        entry.resize(entry.len().max(next as usize), 0);
        entry
    }

    /// Returns the body that a well-behaved server sends.
    fn whole(command: Command, size: u16) -> Vec<u8> {
        match command {
            Command::QueryInfo => body(size, &[0; 56]),
            Command::QueryDirectory => body(size, &entry(0, b"a\0")),
            // A response this short has no room for the offset and length that `body` writes.
            _ if size < 8 => {
                let mut body = size.to_le_bytes().to_vec();
                body.resize(usize::from(size), 0);
                body
            }
            _ => body(size, &[]),
        }
    }

    fn answer(command: Command, status: u32, body: &[u8]) -> Frame {
        let mut header = Header::new_request(command);
        header.status = WireStatus(status);
        Frame { header, body: body.to_vec(), raw: Vec::new() }
    }

    #[test]
    fn a_whole_answer_is_a_success_and_one_that_is_cut_off_at_any_length_is_none() {
        for (command, sizes) in SENT {
            for size in sizes {
                let whole = whole(command, *size);
                let success = successful_body(command, answer(command, 0, &whole));
                assert_eq!(success.as_ref(), Ok(&whole), "{command}");
                for length in 0..whole.len() {
                    let cut = successful_body(command, answer(command, 0, &whole[..length]));
                    assert!(matches!(cut, Err(OpError::Client(_))), "{command} {length}: {cut:?}");
                }
            }
        }
    }

    #[test]
    fn an_answer_to_another_command_is_no_success_whatever_its_status() {
        for (command, sizes) in SENT {
            for (other, _) in SENT.iter().filter(|(other, _)| *other != command) {
                for status in [0, NtStatus::END_OF_FILE.0] {
                    let frame = answer(*other, status, &whole(command, sizes[0]));
                    let error = successful_body(command, frame).unwrap_err();
                    assert!(error.to_string().contains("it answers"), "{command} {other}: {error}");
                }
            }
        }
    }

    #[test]
    fn every_status_but_success_is_the_outcome_itself() {
        let whole = whole(Command::Close, 60);
        for status in [NtStatus::NOTIFY_CLEANUP, NtStatus::OBJECT_NAME_EXISTS, NtStatus(1)] {
            let outcome = successful_body(Command::Close, answer(Command::Close, status.0, &whole));
            assert_eq!(outcome, Err(OpError::Status(status)));
        }
    }

    #[test]
    fn a_listing_lies_within_its_buffer() {
        let chain = [entry(112, b"ab"), entry(0, b"c\0")].concat();
        for (listing, expected) in [
            (entry(0, b""), true),
            (chain.clone(), true),
            (Vec::new(), false),
            (entry(0, b"ab")[..105].to_vec(), false),
            // The next entry begins within the first one, or beyond the end.
            (entry(8, b"ab"), false),
            (entry(u32::MAX >> 8, b"")[..200].to_vec(), false),
            (chain[..chain.len() - 2].to_vec(), false),
        ] {
            assert_eq!(is_listing(&listing), expected, "{listing:?}");
        }
    }

    #[test]
    fn a_buffer_outside_the_answer_is_a_fault() {
        for (at, value) in [(2, 63_u16), (2, u16::MAX), (4, u16::MAX), (6, u16::MAX)] {
            let mut body = whole(Command::QueryInfo, 9);
            body[at..at + 2].copy_from_slice(&value.to_le_bytes());
            assert!(fault(Command::QueryInfo, &body).is_some(), "{at} {value}");
        }
    }
}
