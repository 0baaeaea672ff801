//! An open file: READ, WRITE, SET_INFO, FLUSH, LOCK and CLOSE.

use std::sync::Arc;

use ::smb2::msg::flush::FlushRequest;
use ::smb2::msg::lock::{
    LockElement, LockRequest, SMB2_LOCKFLAG_EXCLUSIVE_LOCK, SMB2_LOCKFLAG_FAIL_IMMEDIATELY,
    SMB2_LOCKFLAG_SHARED_LOCK, SMB2_LOCKFLAG_UNLOCK,
};
use ::smb2::msg::read::ReadRequest;
use ::smb2::msg::set_info::{InfoType, SetInfoRequest};
use ::smb2::msg::write::WriteResponse;
use ::smb2::pack::{Pack, ReadCursor, Unpack, WriteCursor};
use ::smb2::types::{Command, FileId};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use super::link::Link;
use crate::backend::{OpError, SMBFileHandle};
use crate::ir::FileControl;
use crate::protocol::create::OplockLevel;
use crate::protocol::{Acknowledgement, Granted, NtStatus};

/// Number of requests of one long read that are in flight at a time.
const PIPELINE: usize = 4;
/// FileEndOfFileInformation, MS-FSCC 2.4.14.
const FILE_END_OF_FILE_INFORMATION: u8 = 20;

pub(super) struct Smb2Handle {
    pub(super) link: Arc<Link>,
    pub(super) file_id: FileId,
    pub(super) granted: Granted,
}

#[async_trait]
impl SMBFileHandle for Smb2Handle {
    fn granted(&self) -> Option<Granted> {
        Some(self.granted)
    }

    async fn acknowledge_oplock_break(&self, new_level: OplockLevel) -> Result<(), OpError> {
        let file_id = self.granted.file_id;
        self.link.acknowledge(Acknowledgement::Oplock { file_id, level: new_level }).await
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Bytes, OpError> {
        let payload = self.link.payload(length, self.link.max_read);
        if u64::from(payload) == length {
            return self.read_once(offset, payload).await;
        }
        self.read_in_pieces(offset, length, payload).await
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<u64, OpError> {
        let length = data.len() as u64;
        let mut written = 0;
        loop {
            let at = offset.checked_add(written).ok_or_else(beyond_the_largest_file)?;
            let rest = &data[written as usize..];
            let payload = self.link.payload(rest.len() as u64, self.link.max_write);
            let count = self.write_once(at, &rest[..payload as usize]).await?;
            written += u64::from(count);
            if written == length {
                return Ok(length);
            }
            if count == 0 {
                return Err(OpError::Client(format!(
                    "the server wrote 0 of {payload} bytes and called it a success"
                )));
            }
        }
    }

    async fn control(&self, control: &FileControl) -> Result<(), OpError> {
        match *control {
            FileControl::Truncate { size } => {
                let request = SetInfoRequest {
                    info_type: InfoType::File,
                    file_info_class: FILE_END_OF_FILE_INFORMATION,
                    additional_information: 0,
                    file_id: self.file_id,
                    buffer: size.to_le_bytes().to_vec(),
                };
                self.link.request(Command::SetInfo, &request).await.map(drop)
            }
            FileControl::Flush => {
                let request = FlushRequest { file_id: self.file_id };
                self.link.request(Command::Flush, &request).await.map(drop)
            }
            FileControl::Lock { offset, length, exclusive, wait } => {
                let kind = match exclusive {
                    true => SMB2_LOCKFLAG_EXCLUSIVE_LOCK,
                    false => SMB2_LOCKFLAG_SHARED_LOCK,
                };
                let haste = if wait { 0 } else { SMB2_LOCKFLAG_FAIL_IMMEDIATELY };
                self.lock_request(offset, length, kind | haste).await
            }
            FileControl::Unlock { offset, length } => {
                self.lock_request(offset, length, SMB2_LOCKFLAG_UNLOCK).await
            }
        }
    }

    async fn close(&self) -> Result<(), OpError> {
        self.link.close(self.file_id).await
    }
}

impl Smb2Handle {
    /// Reads with several requests in flight, and joins their data in order. After a piece that
    /// came short, nothing more is requested. The requests still in flight are awaited, so that the
    /// operation has ended when this returns.
    async fn read_in_pieces(&self, offset: u64, length: u64, piece: u32) -> Result<Bytes, OpError> {
        offset.checked_add(length).ok_or_else(beyond_the_largest_file)?;
        let mut on_the_way = FuturesOrdered::new();
        let mut data = BytesMut::new();
        let mut asked = 0;
        let mut outcome = Ok(());
        let mut ended = false;
        loop {
            while !ended && asked < length && on_the_way.len() < PIPELINE {
                let want = u64::from(piece).min(length - asked) as u32;
                let at = offset + asked;
                on_the_way.push_back(async move { (want, self.read_once(at, want).await) });
                asked += u64::from(want);
            }
            match on_the_way.next().await {
                None => return outcome.map(|()| data.freeze()),
                Some(_) if ended => {}
                Some((want, Ok(bytes))) => {
                    data.extend_from_slice(&bytes);
                    ended = bytes.len() < want as usize;
                }
                Some((_, Err(error))) => {
                    ended = true;
                    // An end of the file after some data is a short read.
                    if data.is_empty() || error != OpError::Status(NtStatus::END_OF_FILE) {
                        outcome = Err(error);
                    }
                }
            }
        }
    }

    async fn read_once(&self, offset: u64, length: u32) -> Result<Bytes, OpError> {
        let request = ReadRequest {
            padding: 0x50,
            flags: 0,
            length,
            offset,
            file_id: self.file_id,
            minimum_count: 0,
            channel: 0,
            remaining_bytes: 0,
            read_channel_info: Vec::new(),
        };
        let body = self.link.request_of_size(Command::Read, &request, length).await?;
        read_data(body, length)
    }

    async fn write_once(&self, offset: u64, data: &[u8]) -> Result<u32, OpError> {
        let request = WriteRequest { file_id: self.file_id, offset, data };
        let payload = data.len() as u32;
        let body = self.link.request_of_size(Command::Write, &request, payload).await?;
        match WriteResponse::unpack(&mut ReadCursor::new(&body)) {
            Ok(response) if response.count <= payload => Ok(response.count),
            Ok(response) => Err(OpError::Client(format!(
                "the server wrote {} bytes of {payload}",
                response.count
            ))),
            Err(error) => Err(OpError::Client(format!("malformed WRITE response: {error}"))),
        }
    }

    async fn lock_request(&self, offset: u64, length: u64, flags: u32) -> Result<(), OpError> {
        let locks = vec![LockElement { offset, length, flags }];
        let request = LockRequest { lock_sequence: 0, file_id: self.file_id, locks };
        self.link.request(Command::Lock, &request).await.map(drop)
    }
}

fn beyond_the_largest_file() -> OpError {
    OpError::Client("offset and length end beyond the largest file there can be".to_string())
}

/// Returns the data of a READ response (MS-SMB2 2.2.20) without copying it.
fn read_data(body: Vec<u8>, asked: u32) -> Result<Bytes, OpError> {
    const HEADER: usize = 64;
    let malformed = || OpError::Client("malformed READ response".to_string());
    let (&[_, _, offset, _], rest) = body.split_first_chunk::<4>().ok_or_else(malformed)?;
    let (&length, _) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    let length = u32::from_le_bytes(length);
    if length == 0 {
        return Ok(Bytes::new());
    }
    let start = usize::from(offset).checked_sub(HEADER).ok_or_else(malformed)?;
    let end = start.saturating_add(length as usize);
    if length > asked || end > body.len() {
        return Err(malformed());
    }
    Ok(Bytes::from(body).slice(start..end))
}

/// A WRITE request (MS-SMB2 2.2.21) that borrows its data. The type in crate smb2 owns a copy.
struct WriteRequest<'a> {
    file_id: FileId,
    offset: u64,
    data: &'a [u8],
}

impl Pack for WriteRequest<'_> {
    fn pack(&self, cursor: &mut WriteCursor) {
        const STRUCTURE_SIZE: u16 = 49;
        const DATA_OFFSET: u16 = 64 + 48;
        cursor.write_u16_le(STRUCTURE_SIZE);
        cursor.write_u16_le(DATA_OFFSET);
        cursor.write_u32_le(self.data.len() as u32);
        cursor.write_u64_le(self.offset);
        cursor.write_u64_le(self.file_id.persistent);
        cursor.write_u64_le(self.file_id.volatile);
        // Channel, RemainingBytes, WriteChannelInfo and Flags: none.
        cursor.write_zeros(16);
        match self.data {
            [] => cursor.write_u8(0),
            data => cursor.write_bytes(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::smb2::msg::write::WriteRequest as OwningWriteRequest;

    use super::*;

    fn response(offset: u8, length: u32, data: &[u8]) -> Vec<u8> {
        let mut body = vec![17, 0, offset, 0];
        body.extend(length.to_le_bytes());
        body.extend([0; 8]);
        body.extend(data);
        body
    }

    #[test]
    fn read_data_is_cut_out_of_the_response() {
        assert_eq!(read_data(response(80, 3, b"abcd"), 4).unwrap(), "abc");
        assert_eq!(read_data(response(82, 2, b"abcd"), 2).unwrap(), "cd");
        assert!(read_data(response(0, 0, b""), 4).unwrap().is_empty());
    }

    #[test]
    fn a_malformed_read_response_is_an_error() {
        for body in [
            Vec::new(),
            vec![17, 0, 80],
            vec![17, 0, 80, 0, 1, 0],
            response(80, 5, b"abcd"),
            response(80, u32::MAX, b"abcd"),
            response(63, 1, b"abcd"),
            response(255, 1, b"abcd"),
        ] {
            assert!(matches!(read_data(body.clone(), 8), Err(OpError::Client(_))), "{body:?}");
        }
        assert!(read_data(response(80, 4, b"abcd"), 3).is_err(), "more than was asked for");
    }

    #[test]
    fn a_borrowing_write_request_is_packed_as_the_owning_one() {
        let file_id = FileId { persistent: 7, volatile: 9 };
        for data in [&b"payload"[..], b""] {
            let (mut ours, mut theirs) = (WriteCursor::new(), WriteCursor::new());
            WriteRequest { file_id, offset: 5, data }.pack(&mut ours);
            OwningWriteRequest {
                data_offset: 112,
                offset: 5,
                file_id,
                channel: 0,
                remaining_bytes: 0,
                write_channel_info_offset: 0,
                write_channel_info_length: 0,
                flags: 0,
                data: data.to_vec(),
            }
            .pack(&mut theirs);
            assert_eq!(ours.as_bytes(), theirs.as_bytes());
        }
    }
}
