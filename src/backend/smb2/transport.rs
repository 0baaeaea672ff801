//! SMB2 over TCP (MS-SMB2 2.1) for crate smb2, with half the system calls of
//! its own transport: one vectored write per message and buffered reads.

use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ::smb2::client::connection::Connection;
use ::smb2::transport::{TransportReceive, TransportSend};
use ::smb2::{Error, Result};
use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::break_notification::{Decryption, break_in};
use super::frame::{self, Outstanding};
use super::socket_reader::{Arrival, SocketReader};
use super::socket_times::SocketWatch;
use super::wire_format::{COMMAND, SMB2_PROTOCOL_ID, u16_at};
use crate::backend::{BreakSender, Clock};
use crate::ir::event::SocketTimes;

const NEGOTIATE: u16 = 0;
/// Offset of the lowest byte of Capabilities in a NEGOTIATE request (MS-SMB2 2.2.3).
const NEGOTIATE_CAPABILITIES: usize = 64 + 8;
const SMB2_GLOBAL_CAP_DIRECTORY_LEASING: u8 = 0x20;
const SMB2_GLOBAL_CAP_ENCRYPTION: u8 = 0x40;

/// Both messages of NEGOTIATE, as they were sent and received.
#[derive(Default)]
pub(super) struct Negotiation {
    pub(super) request: Vec<u8>,
    pub(super) response: Vec<u8>,
}

/// The state that both halves of one socket share.
pub(super) struct Wire {
    clock: Arc<dyn Clock>,
    /// The times of the operation in flight.
    times: SocketWatch,
    /// The cause of the connection's end. Crate smb2 reports only that it ended.
    ended: OnceLock<String>,
    negotiate: Mutex<Negotiation>,
    /// The bound on what the server may send.
    pub(super) outstanding: Outstanding,
    /// The keys of the session, if it has any: a server may encrypt its breaks.
    decryption: OnceLock<Decryption>,
    /// The channel on which breaks are passed to the client. None before a client asks for breaks,
    /// and after the receiving half of the socket is dropped.
    breaks: Mutex<Option<BreakSender>>,
    malformed_breaks: AtomicU64,
}

impl Wire {
    /// Starts crate smb2 on a connected socket. Dropping the connection closes it.
    pub(super) fn connection(
        stream: TcpStream,
        server_name: &str,
        clock: Arc<dyn Clock>,
    ) -> (Connection, Arc<Wire>) {
        let wire = Arc::new(Wire::new(clock.clone()));
        let (read, write) = stream.into_split();
        let sender = Sender { socket: tokio::sync::Mutex::new(write), wire: wire.clone() };
        let receiver = Receiver {
            socket: tokio::sync::Mutex::new(SocketReader::new(read, clock)),
            wire: wire.clone(),
        };
        (Connection::from_transport(Box::new(sender), Box::new(receiver), server_name), wire)
    }

    fn new(clock: Arc<dyn Clock>) -> Wire {
        Wire {
            clock,
            times: SocketWatch::default(),
            ended: OnceLock::new(),
            negotiate: Mutex::default(),
            outstanding: Outstanding::default(),
            decryption: OnceLock::new(),
            breaks: Mutex::default(),
            malformed_breaks: AtomicU64::new(0),
        }
    }

    /// Notes that the client's task sees an answer now.
    pub(super) fn answer_seen(&self) {
        self.times.answer_seen(self.clock.now_ns());
    }

    pub(super) fn take_times(&self) -> SocketTimes {
        self.times.take()
    }

    pub(super) fn end_cause(&self) -> Option<&str> {
        self.ended.get().map(String::as_str)
    }

    /// Takes the messages of NEGOTIATE.
    pub(super) fn take_negotiation(&self) -> Negotiation {
        std::mem::take(&mut *self.negotiate())
    }

    /// Sets the keys of the session. It is called once, after a successful login.
    pub(super) fn set_decryption(&self, decryption: Decryption) {
        let _ = self.decryption.set(decryption);
    }

    /// Sends breaks to `sender` from now on. Returns false if they already go elsewhere.
    pub(super) fn watch_breaks(&self, sender: BreakSender) -> bool {
        let mut breaks = self.breaks();
        if breaks.is_some() {
            return false;
        }
        *breaks = Some(sender);
        true
    }

    pub(super) fn watches_breaks(&self) -> bool {
        self.breaks().is_some()
    }

    /// Passes on the break that a frame carries, and returns whether it carries one.
    fn pass_break_on(&self, frame: &[u8]) -> bool {
        match break_in(frame, self.decryption.get()) {
            None => return false,
            Some(Ok(what)) => match &*self.breaks() {
                Some(sender) => sender.send(what),
                None => tracing::debug!(
                    ?what,
                    "a break was ignored, because the client requested no caching"
                ),
            },
            Some(Err(reason)) => self.ignore_break(reason),
        }
        true
    }

    /// Counts a malformed break. Only the first is logged, because a server may send any number of
    /// them.
    fn ignore_break(&self, reason: &str) {
        if self.malformed_breaks.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(reason, "a malformed oplock or lease break was ignored");
        }
    }

    fn breaks(&self) -> MutexGuard<'_, Option<BreakSender>> {
        self.breaks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn negotiate(&self) -> MutexGuard<'_, Negotiation> {
        self.negotiate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, error: std::io::Error) -> Error {
        let cause = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the server closed the connection".to_string(),
            _ => error.to_string(),
        };
        self.note_end(cause);
        Error::Io(error)
    }

    /// Notes why the connection ends. The first cause is the true one; what follows is its
    /// echo.
    pub(super) fn note_end(&self, cause: String) {
        let _ = self.ended.set(cause);
    }
}

fn is_negotiate(message: &[u8]) -> bool {
    message.starts_with(SMB2_PROTOCOL_ID)
        && u16_at(message, COMMAND) == Some(NEGOTIATE)
        && message.len() > NEGOTIATE_CAPABILITIES
}

struct Sender {
    socket: tokio::sync::Mutex<OwnedWriteHalf>,
    wire: Arc<Wire>,
}

impl Sender {
    async fn write(&self, message: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(message.len()).map_err(std::io::Error::other)?.to_be_bytes();
        let mut socket = self.socket.lock().await;
        self.wire.times.write_begins(self.wire.clock.now_ns());
        let mut parts = [IoSlice::new(&length), IoSlice::new(message)];
        let mut rest = &mut parts[..];
        while !rest.is_empty() {
            match socket.write_vectored(rest).await? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut rest, written),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl TransportSend for Sender {
    async fn send(&self, message: &[u8]) -> Result<()> {
        if !is_negotiate(message) {
            return self.write(message).await.map_err(|error| self.wire.ended(error));
        }
        // Crate smb2 sets neither capability. Without the first, Samba offers no cipher, so an
        // encrypted share refuses the client. Without the second, a server need not grant leases of
        // directories.
        let mut message = message.to_vec();
        message[NEGOTIATE_CAPABILITIES] |=
            SMB2_GLOBAL_CAP_ENCRYPTION | SMB2_GLOBAL_CAP_DIRECTORY_LEASING;
        self.wire.negotiate().request.clone_from(&message);
        self.write(&message).await.map_err(|error| self.wire.ended(error))
    }
}

struct Receiver {
    socket: tokio::sync::Mutex<SocketReader>,
    wire: Arc<Wire>,
}

impl Receiver {
    async fn read(&self) -> std::io::Result<(Vec<u8>, Arrival)> {
        let mut socket = self.socket.lock().await;
        // A zero byte, then the length in three bytes.
        let length = socket.read_u32().await? as usize;
        let first = self.wire.negotiate().response.is_empty();
        let explained = |error, frame: &[u8]| match first {
            true => frame::on_first_answer(error, frame),
            false => error,
        };
        self.wire.outstanding.allow(length).map_err(|error| explained(error, &[]))?;
        let frame = socket.read_bytes(length).await?;
        let checked = frame::check(&frame, self.wire.decryption.get());
        checked.map_err(|error| explained(error, &frame))?;
        Ok((frame, socket.arrival()))
    }
}

#[async_trait]
impl TransportReceive for Receiver {
    async fn receive(&self) -> Result<Vec<u8>> {
        let (frame, arrival) = self.read().await.map_err(|error| self.wire.ended(error))?;
        if is_negotiate(&frame) {
            self.wire.negotiate().response.clone_from(&frame);
        }
        if !self.wire.pass_break_on(&frame) {
            self.wire.times.frame_read(arrival);
        }
        Ok(frame)
    }
}

/// Ends the breaks together with the connection.
impl Drop for Receiver {
    fn drop(&mut self) {
        *self.wire.breaks() = None;
        let malformed = self.wire.malformed_breaks.load(Ordering::Relaxed);
        if malformed > 1 {
            tracing::warn!("{malformed} malformed oplock or lease breaks were ignored");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::backend::break_channel;
    use crate::backend::test_doubles::{NoAcknowledger, StoppedClock};
    use crate::protocol::create::OplockLevel;
    use crate::protocol::{Break, FileId, OplockBreak};

    /// Returns a break of the oplock of file 1.
    fn oplock_break(level: u8) -> Vec<u8> {
        let mut frame = b"\xfeSMB\x40\0".to_vec();
        frame.resize(64, 0);
        frame[12] = 0x12;
        frame[24..32].fill(0xFF);
        frame.extend([24, 0, level, 0, 0, 0, 0, 0, 1]);
        frame.resize(88, 0);
        frame
    }

    #[tokio::test]
    async fn breaks_are_copied_out_of_the_frames_and_malformed_ones_are_left_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let (read, _write) = stream.into_split();
        let clock = Arc::new(StoppedClock);
        let wire = Arc::new(Wire::new(clock.clone()));
        let reader = SocketReader::new(read, clock);
        let receiver = Receiver { socket: tokio::sync::Mutex::new(reader), wire: wire.clone() };
        let (sender, mut breaks) = break_channel(Arc::new(NoAcknowledger));
        assert!(wire.watch_breaks(sender.clone()));
        assert!(!wire.watch_breaks(sender.clone()), "once");
        drop(sender);

        let frames = [oplock_break(9), oplock_break(1)[..70].to_vec(), oplock_break(1)];
        for frame in &frames {
            server.write_u32(frame.len() as u32).await.unwrap();
            server.write_all(frame).await.unwrap();
        }
        drop(server);
        for frame in &frames {
            assert_eq!(receiver.receive().await.unwrap(), *frame, "crate smb2 gets every frame");
        }
        receiver.receive().await.unwrap_err();
        drop(receiver);
        let file_id = FileId { persistent: 1, volatile: 0 };
        let level = OplockLevel::II;
        assert_eq!(breaks.next().await, Some(Break::Oplock(OplockBreak { file_id, level })));
        assert_eq!(breaks.next().await, None, "the connection is over");
    }
}
