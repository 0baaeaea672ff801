//! The fixture of the tests of breaks: a scripted server and its clients in virtual time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;

use super::client::{ClientSettings, ClientTask, Mailbox, Order, Report, Reports};
use super::fixtures::client_settings;
use super::virtual_time::VirtualClock;
use crate::backend::{
    BackendCapabilities, BreakAcknowledger, BreakSender, BreakStream, CachedFiles, Clock,
    ConnectError, Endpoint, Feature, OpError, SMBBackend, SMBConnectionInner, SMBFileHandle,
    break_channel,
};
use crate::ir::{
    FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation, Operation, OperationKind,
    PathOperation, StreamHeader, Workload,
};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{
    Acknowledgement, Break, BreakPolicy, CreateAction, CreateParameters, FileId, Granted,
    GrantedLease, LeaseBreak, LeaseState, NtStatus, OplockBreak, SharePath,
};

pub const MS: u64 = 1_000_000;
/// The latency of a request. An acknowledgement takes a tenth of it.
const LATENCY_NS: u64 = 10 * MS;
const KEY: [u8; 16] = [7; 16];

/// A server that grants by the name of the file: a batch oplock for `batch`, a lease for
/// `rwh`, and nothing for any other name. It numbers its opens from 1. If it numbers files,
/// all of them have the same number.
struct Server {
    clock: VirtualClock,
    seen: Seen,
    opens: AtomicU64,
    numbers_files: bool,
    refuses: Option<NtStatus>,
    breaks: Mutex<Vec<Option<BreakSender>>>,
}

/// The log of what happened, in order, each entry with its time in milliseconds.
type Seen = Arc<Mutex<Vec<String>>>;

impl Server {
    fn note(&self, what: &str) {
        note(&self.seen, &self.clock, what);
    }

    async fn request(&self, what: &str) {
        self.note(what);
        self.clock.sleep_until(self.clock.now_ns() + LATENCY_NS).await;
    }
}

fn note(seen: &Seen, clock: &VirtualClock, what: &str) {
    seen.lock().unwrap().push(format!("{} {what}", clock.now_ns() / MS));
}

struct Connection {
    server: Arc<Server>,
    stream: Option<BreakStream>,
}

struct Handle {
    server: Arc<Server>,
    granted: Granted,
}

struct Acknowledger(Arc<Server>);

#[async_trait]
impl BreakAcknowledger for Acknowledger {
    async fn acknowledge(&self, answer: Acknowledgement) -> Result<(), OpError> {
        self.0.note(&match answer {
            Acknowledgement::Oplock { level, .. } => format!("acknowledge {level:?}"),
            Acknowledgement::Lease { state, .. } => format!("acknowledge {state}"),
        });
        self.0.clock.sleep_until(self.0.clock.now_ns() + LATENCY_NS / 10).await;
        self.0.refuses.map_or(Ok(()), |status| Err(OpError::Status(status)))
    }
}

#[async_trait]
impl SMBBackend for Arc<Server> {
    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities { name: "fake", features: vec![Feature::Caching], instant: false }
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        let (sender, stream) = break_channel(Arc::new(Acknowledger(self.clone())));
        self.breaks.lock().unwrap()[client_idx as usize] = Some(sender);
        Ok(Box::new(Connection { server: self.clone(), stream: Some(stream) }))
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::default()
    }
}

#[async_trait]
impl SMBConnectionInner for Connection {
    async fn open_simple(
        &self,
        path: &SharePath,
        _: OpenMode,
        _: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.server.request(&format!("open {}", path.as_str())).await;
        let number = 1 + self.server.opens.fetch_add(1, Ordering::Relaxed);
        let (oplock, state) = match path.as_str() {
            "batch" => (OplockLevel::Batch, None),
            "rwh" => (OplockLevel::Lease, Some(LeaseState::RWH)),
            _ => (OplockLevel::None, None),
        };
        let lease = state.map(|state| GrantedLease {
            key: KEY,
            state,
            breaking: false,
            parent_key: None,
            epoch: 1,
        });
        let granted = Granted {
            file_id: file_id(number),
            disk_file_id: self.server.numbers_files.then_some(5),
            action: CreateAction::Opened,
            oplock,
            lease,
            durable: None,
        };
        Ok(Box::new(Handle { server: self.server.clone(), granted }))
    }

    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        _: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.open_simple(path, mode, disposition).await
    }

    async fn execute_misc(&self, operation: &PathOperation) -> Result<(), OpError> {
        self.server.request(operation.operation_type().name()).await;
        Ok(())
    }

    async fn cancel(&self) -> bool {
        false
    }

    fn breaks(&mut self) -> Option<BreakStream> {
        self.stream.take()
    }

    async fn disconnect(self: Box<Self>) {}
}

#[async_trait]
impl SMBFileHandle for Handle {
    fn granted(&self) -> Option<Granted> {
        Some(self.granted)
    }

    async fn read(&self, _: u64, length: u64) -> Result<Bytes, OpError> {
        self.server.request("read").await;
        Ok(vec![0; length as usize].into())
    }

    async fn write(&self, _: u64, data: Bytes) -> Result<u64, OpError> {
        self.server.request("write").await;
        Ok(data.len() as u64)
    }

    async fn control(&self, control: &FileControl) -> Result<(), OpError> {
        match control {
            FileControl::Lock { .. } | FileControl::Unlock { .. } => return Ok(()),
            _ => self.server.request(control.operation_type().name()).await,
        }
        match control {
            FileControl::Truncate { .. } => Err(OpError::ConnectionLost("reset".into())),
            _ => Ok(()),
        }
    }

    async fn close(&self) -> Result<(), OpError> {
        self.server.request("close").await;
        Ok(())
    }
}

fn file_id(number: u64) -> FileId {
    FileId { persistent: number, volatile: number }
}

/// A step that happens to a client.
pub enum Do {
    Order(OperationKind),
    CloseAll,
    Break(Break),
    /// The silent end of the connection, which is noticed only by whoever listens for breaks.
    Silence,
}

pub use Do::{CloseAll, Order as Operate, Silence};

pub struct Play {
    pub clients: usize,
    pub on_break: BreakPolicy,
    pub by_file: bool,
    pub numbers_files: bool,
    pub refuses: Option<NtStatus>,
    /// The time at which the tasks are dropped, as in a run that is given up.
    pub ends_ms: u64,
}

impl Default for Play {
    fn default() -> Play {
        Play {
            clients: 1,
            on_break: BreakPolicy::default(),
            by_file: true,
            numbers_files: false,
            refuses: None,
            ends_ms: 200,
        }
    }
}

impl Play {
    /// Returns the log of a run in which each step happens to its client at its time in
    /// milliseconds. A blocked operation is ordered again when its break has ended.
    pub fn seen(&self, steps: Vec<(u64, usize, Do)>) -> Vec<String> {
        let clock = VirtualClock::default();
        let seen = Seen::default();
        let server = Arc::new(Server {
            clock: clock.clone(),
            seen: seen.clone(),
            opens: AtomicU64::new(0),
            numbers_files: self.numbers_files,
            refuses: self.refuses,
            breaks: Mutex::new((0..self.clients).map(|_| None).collect()),
        });
        let workload =
            Workload { on_break: self.on_break, ..Workload::new("w", self.clients as u32) };
        let header = StreamHeader { workloads: vec![workload].into(), ..StreamHeader::default() };
        let settings = Arc::new(ClientSettings {
            header: Arc::new(header),
            files: self.by_file.then(|| Arc::new(CachedFiles::default())),
            ..client_settings(Arc::new(server.clone()), Arc::new(clock.clone()))
        });
        let reports = Reports::default();
        let mailboxes: Vec<Rc<Mailbox>> = (0..self.clients).map(|_| Rc::default()).collect();
        let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for (slot, mailbox) in mailboxes.iter().enumerate() {
            let (settings, mailbox) = (settings.clone(), mailbox.clone());
            let slot = slot as u32;
            let task = ClientTask::new(slot, slot, settings, mailbox, reports.clone());
            tasks.push(Box::pin(task.run()));
        }
        let last: RefCell<Vec<Option<Operation>>> = RefCell::new(vec![None; self.clients]);
        let hear = || {
            let heard: VecDeque<(u32, Report)> = std::mem::take(&mut *reports.borrow_mut());
            for (slot, report) in heard {
                if let Some(text) = text(&report) {
                    note(&seen, &clock, &format!("client {slot}: {text}"));
                }
                if let Report::Unblocked { .. } = report {
                    let again = last.borrow()[slot as usize].clone().unwrap();
                    mailboxes[slot as usize].put(Order::Execute(Rc::new(again)));
                }
            }
        };
        let script = async {
            let mut seq = 0;
            for (at_ms, client, what) in steps {
                clock.sleep_until(at_ms * MS).await;
                match what {
                    Do::Order(kind) => {
                        let ordered = Operation::new(0, seq, kind);
                        seq += 1;
                        last.borrow_mut()[client] = Some(ordered.clone());
                        mailboxes[client].put(Order::Execute(Rc::new(ordered)));
                    }
                    CloseAll => mailboxes[client].put(Order::CloseAll),
                    Do::Break(what) => {
                        note(&seen, &clock, "break");
                        server.breaks.lock().unwrap()[client].as_ref().unwrap().send(what);
                    }
                    Silence => server.breaks.lock().unwrap()[client] = None,
                }
            }
            clock.sleep_until(self.ends_ms * MS).await;
        };
        let mut script = Box::pin(script);
        let all = poll_fn(|cx| {
            let ended = script.as_mut().poll(cx);
            for task in &mut tasks {
                let _ = task.as_mut().poll(cx);
            }
            hear();
            if ended.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        });
        clock.block_on(all).unwrap();
        tasks.clear();
        hear();
        std::mem::take(&mut *seen.lock().unwrap())
    }
}

fn text(report: &Report) -> Option<String> {
    Some(match report {
        Report::Executed { attempt, .. } => match attempt.execution.granted {
            Some(_) => "opened".into(),
            None => "done".into(),
        },
        Report::Blocked { .. } => "blocked".into(),
        Report::Unblocked { ended_ns, .. } => format!("goes on from {}", ended_ns / MS),
        Report::Break(event) => {
            let waited = format!("{} waited {} ms", event.blocked, event.blocked_ns / MS);
            {
                let refusal =
                    event.refusal.map_or_else(String::new, |status| format!("({status})"));
                format!(
                    "break from {} is {:?}{refusal}, {waited}",
                    event.noticed_ns / MS,
                    event.end
                )
            }
        }
        Report::Closed { closed, failed } => format!("closed {closed}, {failed} failed"),
        Report::Resumed { .. } => "resumed".into(),
        Report::Connected => return None,
        other => format!("{other:?}"),
    })
}

pub fn path(name: &str) -> SharePath {
    SharePath::new(name).unwrap()
}

pub fn open(name: &str) -> Do {
    open_as(name, 0, None)
}

pub fn open_as(name: &str, handle: u32, on_break: Option<BreakPolicy>) -> Do {
    let parameters = CreateParameters { on_break, ..CreateParameters::default() };
    Operate(OperationKind::Open(OpenOperation {
        path: path(name),
        mode: OpenMode::ReadWrite,
        disposition: CreateDisposition::OpenIf,
        handle_ref: HandleRef(handle),
        extensions: on_break.map(|_| Arc::new(parameters)),
    }))
}

pub fn read(handle: u32) -> Do {
    Operate(HandleOperation::Read { offset: 0, length: 8 }.on(HandleRef(handle)))
}

pub fn close(handle: u32) -> Do {
    Operate(HandleOperation::Close.on(HandleRef(handle)))
}

/// Returns an operation during which the connection is lost.
pub fn lose(handle: u32) -> Do {
    Operate(FileControl::Truncate { size: 0 }.on(HandleRef(handle)))
}

pub fn stat(name: &str) -> Do {
    Operate(OperationKind::ByPath(PathOperation::Stat { path: path(name) }))
}

/// Returns a break to level II of the open with that number.
pub fn to_ii(number: u64) -> Do {
    Do::Break(Break::Oplock(OplockBreak { file_id: file_id(number), level: OplockLevel::II }))
}

pub fn lease_to(new: LeaseState, asked: bool) -> Do {
    let acknowledgement_required = asked;
    let current = LeaseState::RWH;
    Do::Break(Break::Lease(LeaseBreak {
        key: KEY,
        current,
        new,
        epoch: 2,
        acknowledgement_required,
    }))
}

pub fn after_ms(ms: u64) -> BreakPolicy {
    BreakPolicy { delay_ns: ms * MS, ..BreakPolicy::default() }
}
