//! Requests on a tree and their answers, with errors in this crate's terms.

use std::sync::Arc;

use ::smb2::client::connection::{CompoundOp, Connection, Frame};
use ::smb2::msg::close::CloseRequest;
use ::smb2::msg::create::CreateRequest;
use ::smb2::pack::Pack;
use ::smb2::types::{Command, CreditCharge, FileId, TreeId};

use super::answer::successful_body;
use super::connection::LISTING_BYTES;
use super::frame::malformed;
use super::granted::Opened;
use super::transport::Wire;
use crate::backend::OpError;
use crate::protocol::{Granted, NtStatus};

/// The file id that, in a related compound, stands for the file that the first request opened
/// (MS-SMB2 3.2.4.1.4).
pub(super) const COMPOUND_FILE: FileId = FileId::SENTINEL;
/// Payload that one credit pays for, in bytes (MS-SMB2 3.1.5.2).
pub(super) const BYTES_PER_CREDIT: u32 = 64 << 10;

/// A tree of a logged-in connection, shared by the connection and its open files.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) tree: TreeId,
    pub(super) wire: Arc<Wire>,
    /// Maximum payload of one READ (here) and of one WRITE (below), in bytes.
    pub(super) max_read: u32,
    pub(super) max_write: u32,
}

impl Link {
    /// Sends a request and returns the body of its successful answer.
    pub(super) async fn request(
        &self,
        command: Command,
        body: &dyn Pack,
    ) -> Result<Vec<u8>, OpError> {
        self.request_of_size(command, body, 0).await
    }

    /// Sends a request as [`Link::request`] does. The request or its answer carries `payload`
    /// bytes.
    pub(super) async fn request_of_size(
        &self,
        command: Command,
        body: &dyn Pack,
        payload: u32,
    ) -> Result<Vec<u8>, OpError> {
        let charge = payload.div_ceil(BYTES_PER_CREDIT).max(1);
        let charge = CreditCharge(u16::try_from(charge).unwrap_or(u16::MAX));
        let bytes = answer_bytes(command, payload);
        self.wire.outstanding.add(bytes);
        let sent = self.connection.execute_with_credits(command, body, Some(self.tree), charge);
        let answer = sent.await;
        self.wire.outstanding.remove(bytes);
        self.answer(command, answer)
    }

    /// Returns the number of bytes of `length` that one request may carry now, limited by the
    /// server's maximum and by the available credits. It does not wait for more credits, because
    /// only answers grant them. One credit is kept for the acknowledgement of a break.
    pub(super) fn payload(&self, length: u64, max: u32) -> u32 {
        let credits = u32::from(self.connection.credits()).saturating_sub(1).max(1);
        let paid_for = credits.saturating_mul(BYTES_PER_CREDIT);
        u32::try_from(length).unwrap_or(u32::MAX).min(max).min(paid_for)
    }

    pub(super) async fn create(
        &self,
        request: &CreateRequest,
    ) -> Result<(FileId, Granted), OpError> {
        let body = self.request(Command::Create, request).await?;
        let opened = Opened::parse(&body)?;
        match opened.granted() {
            Ok(granted) => Ok((opened.file_id, granted)),
            Err(error) => {
                // The file is open at the server, and nobody else will close it.
                let _ = self.close(opened.file_id).await;
                Err(error)
            }
        }
    }

    pub(super) async fn close(&self, file_id: FileId) -> Result<(), OpError> {
        self.request(Command::Close, &CloseRequest { flags: 0, file_id }).await.map(drop)
    }

    /// Opens a file, does one thing to it and closes it, in one round trip. The file is closed
    /// whatever the result of the middle request.
    pub(super) async fn create_and_close(
        &self,
        create: &CreateRequest,
        middle: Option<(Command, &dyn Pack)>,
    ) -> Result<(), OpError> {
        let close = CloseRequest { flags: 0, file_id: COMPOUND_FILE };
        let mut requests = vec![self.part(Command::Create, create)];
        requests.extend(middle.map(|(command, body)| self.part(command, body)));
        requests.push(self.part(Command::Close, &close));
        let mut answers = self.compound(&requests).await?.into_iter();
        let file = file_id(&answers.next().unwrap_or_else(unanswered)?)?;
        let done = match middle {
            Some(_) => answers.next().unwrap_or_else(unanswered).map(drop),
            None => Ok(()),
        };
        let closed = answers.next().unwrap_or_else(unanswered).map(drop);
        if matches!(closed, Err(OpError::Status(_))) {
            // A server may fail the CLOSE because the request before it failed. The file is then
            // still open.
            let _ = self.close(file).await;
        }
        done.and(closed)
    }

    /// Opens a file and does one thing to it, in one round trip. The caller must close the file,
    /// whatever the result of the second request.
    pub(super) async fn create_and(
        &self,
        create: &CreateRequest,
        second: (Command, &dyn Pack),
    ) -> Result<(FileId, Result<(), OpError>), OpError> {
        let requests = [self.part(Command::Create, create), self.part(second.0, second.1)];
        let mut answers = self.compound(&requests).await?.into_iter();
        let file = file_id(&answers.next().unwrap_or_else(unanswered)?)?;
        Ok((file, answers.next().unwrap_or_else(unanswered).map(drop)))
    }

    fn part<'a>(&self, command: Command, body: &'a dyn Pack) -> CompoundOp<'a> {
        CompoundOp::new(command, body, Some(self.tree))
    }

    async fn compound(
        &self,
        requests: &[CompoundOp<'_>],
    ) -> Result<Vec<Result<Vec<u8>, OpError>>, OpError> {
        let bytes = requests.iter().map(|request| answer_bytes(request.command, 0)).sum();
        self.wire.outstanding.add(bytes);
        let frames = self.connection.execute_compound(requests).await;
        self.wire.outstanding.remove(bytes);
        let frames = frames.map_err(|error| self.failed(error))?;
        let answers = requests.iter().zip(frames);
        Ok(answers.map(|(request, frame)| self.answer(request.command, frame)).collect())
    }

    fn answer(&self, command: Command, answer: ::smb2::Result<Frame>) -> Result<Vec<u8>, OpError> {
        let frame = answer.map_err(|error| self.failed(error))?;
        // The answer to the acknowledgement of a break is not that of the operation in flight.
        if command != Command::OplockBreak {
            self.wire.answer_seen();
        }
        match successful_body(command, frame) {
            // The session or the tree is gone at the server, and every handle with it.
            Err(OpError::Status(
                status @ (NtStatus::USER_SESSION_DELETED
                | NtStatus::NETWORK_SESSION_EXPIRED
                | NtStatus::NETWORK_NAME_DELETED),
            )) => {
                // The other operations of the connection end with this cause too.
                self.wire.note_end(described(status));
                self.connection.mark_dead();
                Err(OpError::ConnectionLost(described(status)))
            }
            outcome => outcome,
        }
    }

    /// Converts an error of crate smb2. In most cases the connection is gone.
    fn failed(&self, error: ::smb2::Error) -> OpError {
        let failure = failure(error, &self.connection, &self.wire);
        if let OpError::ConnectionLost(cause) = &failure {
            self.wire.note_end(cause.clone());
            // After a late reply the socket is still open, and crate smb2 would continue to use it.
            self.connection.mark_dead();
        }
        failure
    }
}

/// Returns the maximum payload of the answer to a request, in bytes. `payload` is what the request
/// itself carries or asks for.
fn answer_bytes(command: Command, payload: u32) -> u64 {
    match command {
        Command::Read => payload.into(),
        Command::QueryDirectory => LISTING_BYTES.into(),
        _ => 0,
    }
}

/// Converts an error of crate smb2, and adds the cause that only the transport knows.
pub(super) fn failure(error: ::smb2::Error, connection: &Connection, wire: &Wire) -> OpError {
    use ::smb2::Error;
    match error {
        Error::Protocol { status, .. } => OpError::Status(NtStatus(status.0)),
        Error::SessionExpired => {
            OpError::ConnectionLost(described(NtStatus::NETWORK_SESSION_EXPIRED))
        }
        Error::Disconnected
        | Error::Io(_)
        | Error::SendFailed { .. }
        | Error::HandleInvalidated { .. } => OpError::ConnectionLost(match wire.end_cause() {
            Some(cause) => cause.to_string(),
            None => refused_frame(connection).unwrap_or_else(|| error.to_string()),
        }),
        Error::Timeout => OpError::ConnectionLost("the server did not reply in time".to_string()),
        Error::SendTimeout { .. }
        | Error::ServerUnresponsive { .. }
        | Error::CreditStarvation { .. } => OpError::ConnectionLost(error.to_string()),
        _ => OpError::Client(error.to_string()),
    }
}

/// Returns why crate smb2 closed the connection, if it did so because of a frame. It closes
/// it for what [`frame::check`](super::frame::check) cannot see, and keeps only counts.
fn refused_frame(connection: &Connection) -> Option<String> {
    let counts = connection.diagnostics().metrics;
    let what = if counts.decrypt_failures > 0 {
        "it does not decrypt with the key of the session"
    } else if counts.malformed_frames + counts.decompress_failures > 0 {
        "its messages cannot be told apart"
    } else {
        return None;
    };
    Some(malformed(what).to_string())
}

/// Returns the name and number of a status, for errors that hold a string.
pub(super) fn described(status: NtStatus) -> String {
    format!("{status:?}")
}

fn unanswered() -> Result<Vec<u8>, OpError> {
    Err(OpError::Client("the server left a part of a compound unanswered".to_string()))
}

fn file_id(body: &[u8]) -> Result<FileId, OpError> {
    Opened::parse(body).map(|opened| opened.file_id)
}
