//! The NEGOTIATE messages as they were on the wire, and their confirmation by the server. In
//! dialect 3.1.1, the keys follow from both messages. Below it, anybody between client and server
//! can change the messages, to get a weaker dialect or no encryption. The client therefore asks the
//! server, in a signed message, what it was asked and what it answered (MS-SMB2 3.2.5.5,
//! 3.2.5.14.12).

use ::smb2::Session;
use ::smb2::client::connection::Connection;
use ::smb2::crypto::kdf::PreauthHasher;
use ::smb2::msg::ioctl::{FSCTL_VALIDATE_NEGOTIATE_INFO, IoctlRequest, SMB2_0_IOCTL_IS_FSCTL};
use ::smb2::types::{Command, Dialect, FileId, TreeId};

use super::answer::{malformed, successful_body};
use super::transport::{Negotiation, Wire};
use super::tree_connection::{described, failure};
use super::wire_format::{HEADER_BYTES, u16_at, u32_at};
use crate::backend::OpError;
use crate::protocol::NtStatus;

/// Offsets of the fields of a NEGOTIATE request (MS-SMB2 2.2.3).
mod request {
    pub const DIALECT_COUNT: usize = 64 + 2;
    pub const SECURITY_MODE: usize = 64 + 4;
    pub const CAPABILITIES: usize = 64 + 8;
    pub const CLIENT_GUID: usize = 64 + 12;
    pub const DIALECTS: usize = 64 + 36;
}

/// Offsets of the fields of a NEGOTIATE response (MS-SMB2 2.2.4).
mod response {
    pub const SECURITY_MODE: usize = 64 + 2;
    pub const DIALECT: usize = 64 + 4;
    pub const SERVER_GUID: usize = 64 + 8;
    pub const CAPABILITIES: usize = 64 + 24;
}

const GUID_BYTES: usize = 16;
/// Size of a VALIDATE_NEGOTIATE_INFO Response (MS-SMB2 2.2.32.6).
const CONFIRMATION_BYTES: usize = 24;
/// Offsets of the fields of an IOCTL response (MS-SMB2 2.2.32).
const CTL_CODE: usize = 4;
const OUTPUT_OFFSET: usize = 32;
const OUTPUT_COUNT: usize = 36;

impl Negotiation {
    /// Hashes the messages as they were on the wire, because the keys follow from them (MS-SMB2
    /// 3.1.4.4.1). Crate smb2 hashed the request that it built, but the server hashed the one that
    /// was sent.
    pub(super) fn hash(&self, connection: &Connection) {
        connection.with_preauth_hasher_mut(|hasher| {
            *hasher = PreauthHasher::new();
            hasher.update(&self.request);
            hasher.update(&self.response);
        });
    }

    /// Asks the server to confirm the negotiation, if the dialect requires it and the session has
    /// keys to sign with. A guest's session has none.
    ///
    /// # Errors
    /// Client and server have seen different messages, or the server's answer does not say. The
    /// error is not transient.
    pub(super) async fn confirm(
        &self,
        connection: &Connection,
        session: &Session,
        tree: TreeId,
        wire: &Wire,
    ) -> Result<(), OpError> {
        let dialect = connection.params().map(|params| params.dialect);
        if dialect == Some(Dialect::Smb3_1_1) || !session.should_sign {
            return Ok(());
        }
        let request = IoctlRequest {
            ctl_code: FSCTL_VALIDATE_NEGOTIATE_INFO,
            file_id: FileId::SENTINEL,
            max_input_response: 0,
            max_output_response: CONFIRMATION_BYTES as u32,
            flags: SMB2_0_IOCTL_IS_FSCTL,
            input_data: self.asked().ok_or_else(|| tampered("NEGOTIATE was cut off"))?,
        };
        let sent = connection.execute(Command::Ioctl, &request, Some(tree)).await;
        let answer = sent.map_err(|error| failure(error, connection, wire));
        match answer.and_then(|frame| successful_body(Command::Ioctl, frame)) {
            Ok(body) => self.compare(&body),
            // The server is older than this request. Its refusal is signed.
            Err(OpError::Status(
                NtStatus::FILE_CLOSED | NtStatus::NOT_SUPPORTED | NtStatus::INVALID_DEVICE_REQUEST,
            )) => Ok(()),
            // A server that was asked something else ends the connection (MS-SMB2 3.3.5.15.12).
            Err(OpError::ConnectionLost(cause)) => Err(tampered(&format!(
                "{cause}, which a server that goes away does too: try again"
            ))),
            Err(OpError::Status(status)) => Err(tampered(&described(status))),
            Err(OpError::Client(reason)) => Err(tampered(&reason)),
        }
    }

    /// Returns the body of VALIDATE_NEGOTIATE_INFO Request (MS-SMB2 2.2.31.4).
    fn asked(&self) -> Option<Vec<u8>> {
        let sent = &self.request[..];
        let field = |at: usize, length: usize| sent.get(at..at.checked_add(length)?);
        let dialects = usize::from(u16_at(sent, request::DIALECT_COUNT)?);
        let parts = [
            field(request::CAPABILITIES, 4)?,
            field(request::CLIENT_GUID, GUID_BYTES)?,
            field(request::SECURITY_MODE, 2)?,
            field(request::DIALECT_COUNT, 2)?,
            field(request::DIALECTS, 2 * dialects)?,
        ];
        Some(parts.concat())
    }

    /// Returns what the server confirms if nobody changed the response on the way.
    fn answered(&self) -> Option<Vec<u8>> {
        let field = |at: usize, length: usize| self.response.get(at..at + length);
        let parts = [
            field(response::CAPABILITIES, 4)?,
            field(response::SERVER_GUID, GUID_BYTES)?,
            field(response::SECURITY_MODE, 2)?,
            field(response::DIALECT, 2)?,
        ];
        Some(parts.concat())
    }

    fn compare(&self, body: &[u8]) -> Result<(), OpError> {
        let output = || {
            let start = (u32_at(body, OUTPUT_OFFSET)? as usize).checked_sub(HEADER_BYTES)?;
            body.get(start..start.checked_add(u32_at(body, OUTPUT_COUNT)? as usize)?)
        };
        let confirmed = match output() {
            Some(output)
                if output.len() == CONFIRMATION_BYTES
                    && u32_at(body, CTL_CODE) == Some(FSCTL_VALIDATE_NEGOTIATE_INFO) =>
            {
                output
            }
            _ => {
                return Err(tampered(
                    &malformed(Command::Ioctl, "it confirms nothing").to_string(),
                ));
            }
        };
        match self.answered().as_deref() == Some(confirmed) {
            true => Ok(()),
            false => Err(tampered("the dialect, GUID or capabilities of its response differ")),
        }
    }
}

fn tampered(found: &str) -> OpError {
    OpError::Client(format!(
        "the server did not confirm the negotiation ({found}): it may have been changed in transit to weaken the connection"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiation() -> Negotiation {
        let mut request = vec![0; 64];
        request.extend([36, 0, 2, 0, 1, 0, 0, 0, 0x66, 0, 0, 0]);
        request.extend([0xC1; 16]);
        request.extend([0; 8]);
        request.extend([0x00, 0x03, 0x02, 0x03]);
        request.extend(b"contexts");
        let mut response = vec![0; 64];
        response.extend([65, 0, 3, 0, 0x02, 0x03, 0, 0]);
        response.extend([0x5E; 16]);
        response.extend([0x45, 0, 0, 0]);
        response.resize(64 + 64, 0);
        Negotiation { request, response }
    }

    /// Returns an IOCTL response with `output` after its fixed part.
    fn ioctl(output: &[u8]) -> Vec<u8> {
        let mut body = vec![49, 0, 0, 0];
        body.extend(FSCTL_VALIDATE_NEGOTIATE_INFO.to_le_bytes());
        body.extend([0xFF; 16]);
        for number in [112, 0, 112, output.len() as u32, 0, 0] {
            body.extend(number.to_le_bytes());
        }
        body.extend(output);
        body
    }

    fn confirmation() -> Vec<u8> {
        let mut output = vec![0x45, 0, 0, 0];
        output.extend([0x5E; 16]);
        output.extend([3, 0, 0x02, 0x03]);
        output
    }

    #[test]
    fn the_server_is_asked_with_what_was_sent() {
        let mut expected = vec![0x66, 0, 0, 0];
        expected.extend([0xC1; 16]);
        expected.extend([1, 0, 2, 0, 0x00, 0x03, 0x02, 0x03]);
        assert_eq!(negotiation().asked(), Some(expected));
        let mut cut = negotiation();
        cut.request.truncate(64 + 36 + 3);
        assert_eq!(cut.asked(), None);
    }

    #[test]
    fn a_confirmation_that_differs_in_any_byte_is_refused() {
        assert_eq!(negotiation().compare(&ioctl(&confirmation())), Ok(()));
        for at in 0..CONFIRMATION_BYTES {
            let mut other = confirmation();
            other[at] ^= 1;
            assert!(negotiation().compare(&ioctl(&other)).is_err(), "{at}");
        }
    }

    #[test]
    fn an_answer_that_confirms_nothing_is_refused() {
        let whole = ioctl(&confirmation());
        let with = |at: usize, value: u32| {
            let mut bent = whole.clone();
            bent[at..at + 4].copy_from_slice(&value.to_le_bytes());
            bent
        };
        for body in [
            ioctl(&[]),
            ioctl(&confirmation()[..23]),
            whole[..whole.len() - 1].to_vec(),
            with(CTL_CODE, 1),
            with(OUTPUT_OFFSET, 0),
            with(OUTPUT_OFFSET, u32::MAX),
            with(OUTPUT_COUNT, u32::MAX),
        ] {
            let error = negotiation().compare(&body).unwrap_err().to_string();
            assert!(error.contains("it confirms nothing"), "{error}");
        }
    }
}
