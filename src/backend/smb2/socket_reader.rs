//! The receiving half of a connection's socket. Its reads are buffered, and it records the time at
//! which the kernel received the data.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::backend::Clock;

/// Size of the buffer. It takes the header and the data of a 4 KiB read in one system call, and
/// thousands of connections can bear its memory.
const BUFFER_BYTES: usize = 5 << 10;
/// Memory that a long frame begins with, in bytes. It doubles as bytes arrive.
const FIRST_BYTES: usize = 1 << 20;

/// A reader of a socket, which keeps the arrival time of the bytes it read last.
pub(super) struct SocketReader {
    socket: OwnedReadHalf,
    buffer: Box<[u8]>,
    unread: Range<usize>,
    arrivals: ArrivalClock,
    receiver: Receive,
    arrival: Arrival,
}

/// The time at which the kernel received some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nanoseconds on the run's clock.
    At(u64),
    /// The kernel gave no timestamp.
    Unknown,
    /// The wall clock, from which the kernel's timestamps come, was set meanwhile.
    ClockStepped,
}

impl SocketReader {
    pub(super) fn new(socket: OwnedReadHalf, clock: Arc<dyn Clock>) -> SocketReader {
        SocketReader {
            receiver: Receive::new(socket.as_ref()),
            socket,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            unread: 0..0,
            arrivals: ArrivalClock { clock, last: None },
            arrival: Arrival::Unknown,
        }
    }

    /// Returns the time at which the kernel received the bytes that were read last. If one system
    /// call returned several frames, it is the arrival of the last of them, so it is never earlier
    /// than the true time.
    pub(super) fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// Reads a big-endian number of four bytes.
    ///
    /// # Errors
    /// An error of the socket, and `UnexpectedEof` if the peer has closed the connection.
    pub(super) async fn read_u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        let mut filled = 0;
        while filled < bytes.len() {
            if self.unread.is_empty() {
                self.fill_buffer().await?;
            }
            filled += self.take_buffered(&mut bytes[filled..]);
        }
        Ok(u32::from_be_bytes(bytes))
    }

    /// Reads `length` bytes. Memory is allocated as they arrive, not for the announced length.
    ///
    /// # Errors
    /// The same as for [`SocketReader::read_u32`].
    pub(super) async fn read_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length.min(self.unread.len())];
        let mut filled = self.take_buffered(&mut bytes);
        while filled < length {
            if filled == bytes.len() {
                bytes.resize(room(filled, length), 0);
            }
            if self.unread.is_empty() && length - filled >= BUFFER_BYTES {
                filled += self.receive(Some(&mut bytes[filled..])).await?;
                continue;
            }
            if self.unread.is_empty() {
                // The next frame may come in the same system call.
                self.fill_buffer().await?;
            }
            filled += self.take_buffered(&mut bytes[filled..]);
        }
        Ok(bytes)
    }

    fn take_buffered(&mut self, into: &mut [u8]) -> usize {
        let taken = into.len().min(self.unread.len());
        let end = self.unread.start + taken;
        into[..taken].copy_from_slice(&self.buffer[self.unread.start..end]);
        self.unread.start = end;
        taken
    }

    async fn fill_buffer(&mut self) -> io::Result<()> {
        let received = self.receive(None).await?;
        self.unread = 0..received;
        Ok(())
    }

    /// Receives into `into`, or into the empty buffer.
    async fn receive(&mut self, into: Option<&mut [u8]>) -> io::Result<usize> {
        let stream: &TcpStream = self.socket.as_ref();
        let into = into.unwrap_or(&mut self.buffer);
        let receiver = &mut self.receiver;
        let (received, stamp_ns) = poll_fn(|cx| {
            loop {
                ready!(stream.poll_read_ready(cx))?;
                let mut short = None;
                let whole = stream.try_io(Interest::READABLE, || {
                    let received = receiver.receive(stream, into)?;
                    if received.0 == 0 || received.0 == into.len() {
                        return Ok(received);
                    }
                    // The socket is empty. Reporting that here saves the system call that would
                    // find it out.
                    short = Some(received);
                    Err(io::ErrorKind::WouldBlock.into())
                });
                match (short, whole) {
                    (Some(received), _) => return Poll::Ready(Ok(received)),
                    (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                    (None, Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    (None, whole) => return Poll::Ready(whole),
                }
            }
        })
        .await?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.arrival = stamp_ns.map_or(Arrival::Unknown, |at_ns| self.arrivals.locate(at_ns));
        Ok(received)
    }
}

/// Returns the memory for a frame of `length` bytes when `filled` of them have come.
fn room(filled: usize, length: usize) -> usize {
    length.min(filled.saturating_mul(2).max(FIRST_BYTES))
}

/// A converter of times of the wall clock to the run's clock.
struct ArrivalClock {
    clock: Arc<dyn Clock>,
    last: Option<Offset>,
}

/// The lead of the wall clock over the run's clock at one instant.
#[derive(Clone, Copy)]
struct Offset {
    ahead_ns: i128,
    at_ns: u64,
    /// Time between the reads of the two clocks. It is long if the thread lost its processor
    /// meanwhile.
    uncertain_ns: u64,
}

/// Change of the offset that still counts as none, in nanoseconds: less than the delays that
/// matter.
const STEADY_NS: u64 = 1_000_000;
/// Divisor of the passed time that gives the allowed drift. A clock that is being corrected gains
/// or loses at most 500 µs a second (adjtimex(2)).
const SLEW_DIVISOR: u64 = 1_000;
/// Longest time between two reads of the clocks that were not interrupted, in nanoseconds.
const CLOSE_NS: u64 = 20_000;

impl ArrivalClock {
    fn locate(&mut self, wall_ns: i128) -> Arrival {
        let now = self.offset();
        let steady = self.last.replace(now).is_none_or(|last| now.follows(last));
        let at_ns = u64::try_from(wall_ns - now.ahead_ns);
        match at_ns {
            Ok(at_ns) if steady && at_ns <= now.at_ns + STEADY_NS => {
                Arrival::At(at_ns.min(now.at_ns))
            }
            _ => Arrival::ClockStepped,
        }
    }

    fn offset(&self) -> Offset {
        let mut best = self.read_offset();
        for _ in 0..2 {
            if best.uncertain_ns <= CLOSE_NS {
                break;
            }
            let again = self.read_offset();
            if again.uncertain_ns < best.uncertain_ns {
                best = again;
            }
        }
        best
    }

    fn read_offset(&self) -> Offset {
        let before_ns = self.clock.now_ns();
        let wall_ns = wall_clock_ns();
        let at_ns = self.clock.now_ns();
        Offset {
            ahead_ns: wall_ns - i128::from(at_ns),
            at_ns,
            uncertain_ns: at_ns.saturating_sub(before_ns),
        }
    }
}

impl Offset {
    /// Returns whether nobody has set the wall clock since `last`.
    fn follows(self, last: Offset) -> bool {
        let passed_ns = self.at_ns.saturating_sub(last.at_ns);
        let allowed_ns =
            STEADY_NS + passed_ns / SLEW_DIVISOR + self.uncertain_ns + last.uncertain_ns;
        (self.ahead_ns - last.ahead_ns).unsigned_abs() <= u128::from(allowed_ns)
    }
}

fn wall_clock_ns() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// A receiver that asks for the kernel's timestamps (SO_TIMESTAMPING, described under
/// "timestamping" in the kernel's networking documentation).
#[cfg(target_os = "linux")]
struct Receive {
    control: Vec<u8>,
}

#[cfg(target_os = "linux")]
impl Receive {
    fn new(stream: &TcpStream) -> Receive {
        use nix::sys::socket::{TimestampingFlag, Timestamps, setsockopt, sockopt::Timestamping};
        let flags = TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
        if let Err(error) = setsockopt(stream, Timestamping, &flags) {
            tracing::debug!(%error, "the kernel gives no receive timestamps");
        }
        Receive { control: nix::cmsg_space!(Timestamps) }
    }

    /// Returns the number of bytes received, and the arrival of the last of them by the wall clock.
    fn receive(
        &mut self,
        stream: &TcpStream,
        into: &mut [u8],
    ) -> io::Result<(usize, Option<i128>)> {
        use std::io::IoSliceMut;
        use std::os::fd::AsRawFd;

        use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
        let mut parts = [IoSliceMut::new(into)];
        self.control.resize(self.control.capacity(), 0);
        let control = Some(&mut self.control[..]);
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, control, MsgFlags::empty())?;
        let stamp_ns = message.cmsgs().ok().and_then(|mut controls| {
            controls.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampsns(stamps) => {
                    let (s, ns) = (stamps.system.tv_sec(), stamps.system.tv_nsec());
                    let at_ns = i128::from(s) * 1_000_000_000 + i128::from(ns);
                    (at_ns != 0).then_some(at_ns)
                }
                _ => None,
            })
        });
        Ok((message.bytes, stamp_ns))
    }
}

/// A receiver for other systems, which have no timestamps.
#[cfg(not(target_os = "linux"))]
struct Receive;

#[cfg(not(target_os = "linux"))]
impl Receive {
    fn new(_: &TcpStream) -> Receive {
        Receive
    }

    fn receive(
        &mut self,
        stream: &TcpStream,
        into: &mut [u8],
    ) -> io::Result<(usize, Option<i128>)> {
        stream.try_read(into).map(|received| (received, None))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use futures_util::future::BoxFuture;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// The run's clock plus the change that a test makes to it.
    struct TestClock {
        started: tokio::time::Instant,
        moved_ns: AtomicU64,
    }

    impl TestClock {
        fn start() -> Arc<TestClock> {
            Arc::new(TestClock {
                started: tokio::time::Instant::now(),
                moved_ns: AtomicU64::new(0),
            })
        }
    }

    impl Clock for TestClock {
        fn now_ns(&self) -> u64 {
            let passed = self.started.elapsed().as_nanos() as u64;
            // The clock's origin was ten seconds ago, because the first frames of a run do not come
            // at zero.
            10_000_000_000 + passed + self.moved_ns.load(Ordering::Relaxed)
        }

        fn sleep_until(&self, _: u64) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    async fn connected(clock: Arc<TestClock>) -> (SocketReader, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (read, write) = stream.into_split();
        // Dropping the writing half would end the connection.
        std::mem::forget(write);
        (SocketReader::new(read, clock), server)
    }

    #[tokio::test]
    async fn bytes_come_as_they_were_sent_however_they_are_cut() {
        let (mut reader, mut server) = connected(TestClock::start()).await;
        let mut lengths = vec![0, 1, 3, BUFFER_BYTES - 4, BUFFER_BYTES, BUFFER_BYTES + 1, 1 << 20];
        // A payload that fills the memory taken so far, and the header before it.
        for payload in [1 << 20, 2 << 20, 4 << 20, 1 << 20, 1 << 20] {
            lengths.extend([payload + 80, 100]);
        }
        let frames = lengths.clone();
        let sent = tokio::spawn(async move {
            for (index, length) in frames.into_iter().enumerate() {
                let mut frame = (length as u32).to_be_bytes().to_vec();
                frame.resize(4 + length, index as u8);
                // Cut as a network does it, so that the reader often has all there is.
                for piece in frame.chunks(1_448 * (1 + index % 4)) {
                    server.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        for (index, length) in lengths.into_iter().enumerate() {
            assert_eq!(reader.read_u32().await.unwrap(), length as u32);
            assert!(reader.read_bytes(length).await.unwrap() == vec![index as u8; length]);
        }
        sent.await.unwrap();
        let ended = reader.read_u32().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn memory_is_taken_as_bytes_arrive() {
        assert_eq!(room(0, 8 << 20), FIRST_BYTES);
        assert_eq!(room(FIRST_BYTES, 8 << 20), 2 * FIRST_BYTES);
        assert_eq!(room(5 << 20, 8 << 20), 8 << 20);
        assert_eq!(room(0, 100), 100);
    }

    #[cfg(target_os = "linux")]
    #[expect(clippy::disallowed_methods, reason = "the reader is to be held up")]
    #[tokio::test]
    async fn bytes_that_wait_in_the_kernel_are_known_to_have_arrived_before() {
        let clock = TestClock::start();
        let (mut reader, mut server) = connected(clock.clone()).await;
        // The kernel begins to stamp a moment after the first socket asks for it.
        let mut early = Arrival::Unknown;
        while early == Arrival::Unknown {
            server.write_u32(1).await.unwrap();
            reader.read_u32().await.unwrap();
            early = reader.arrival();
        }
        server.write_u32(7).await.unwrap();
        let sent_ns = clock.now_ns();
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(reader.read_u32().await.unwrap(), 7);
        let Arrival::At(arrived_ns) = reader.arrival() else { panic!("{:?}", reader.arrival()) };
        assert!(arrived_ns < sent_ns + 25_000_000, "not when it was read");
        assert!(clock.now_ns() - arrived_ns >= 25_000_000);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_step_of_the_clock_makes_one_arrival_unknown() {
        let clock = TestClock::start();
        let (mut reader, mut server) = connected(clock.clone()).await;
        let mut seen = Vec::new();
        for moved_ns in [0, 0, 0, 60_000_000_000, 60_000_000_000] {
            clock.moved_ns.store(moved_ns, Ordering::Relaxed);
            // The kernel begins to stamp a moment after the first socket asks for it.
            tokio::time::sleep(Duration::from_millis(5)).await;
            server.write_u32(1).await.unwrap();
            reader.read_u32().await.unwrap();
            seen.push(match reader.arrival() {
                Arrival::ClockStepped => "stepped",
                Arrival::At(_) | Arrival::Unknown => "steady",
            });
        }
        assert_eq!(seen, ["steady", "steady", "steady", "stepped", "steady"]);
    }

    #[test]
    fn a_clock_that_is_being_corrected_does_not_count_as_set() {
        let offset = |ahead_ns, at_ns| Offset { ahead_ns, at_ns, uncertain_ns: 0 };
        let second_ns = 1_000_000_000;
        assert!(offset(500_000, second_ns).follows(offset(0, 0)));
        assert!(offset(30_000_000, 60 * second_ns).follows(offset(0, 0)));
        assert!(!offset(3_000_000, second_ns).follows(offset(0, 0)));
        assert!(!offset(-3_000_000, second_ns).follows(offset(0, 0)));
    }
}
