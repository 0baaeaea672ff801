//! Streams made by hand or by dice.

use std::collections::HashMap;
use std::sync::Arc;

use smbench::ir::{
    Due, Expect, HandleOperation, HandleRef, OpenMode, OpenOperation, Operation, OperationKind,
    OperationSource, PathOperation, Phase, Progress, Section, SourceError, StreamHeader, Workload,
};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{BreakPolicy, SharePath};

/// A random number generator (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

/// A source with all operations of a run, by client, which are cloned on demand.
#[derive(Clone)]
pub struct Stream {
    pub header: StreamHeader,
    pub operations: Arc<Vec<Vec<Operation>>>,
    next: HashMap<(u32, Section), usize>,
    /// The client and the number of the operation in its iterations before which the stream breaks
    /// off.
    pub breaks_at: Option<(u32, usize)>,
}

impl Stream {
    /// Sets the break policy of the clients of each workload.
    pub fn answer_breaks(&mut self, mut policy: impl FnMut() -> BreakPolicy) {
        let workloads = self.header.workloads.iter().cloned();
        self.header.workloads =
            workloads.map(|workload| Workload { on_break: policy(), ..workload }).collect();
    }

    pub fn new(clients: u32, phases: Vec<Phase>, operations: Vec<Vec<Operation>>) -> Stream {
        Stream::of(vec![Workload::new("w", clients)], phases, operations)
    }

    pub fn of(
        workloads: Vec<Workload>,
        phases: Vec<Phase>,
        operations: Vec<Vec<Operation>>,
    ) -> Stream {
        let header = StreamHeader {
            source: "simulation".into(),
            workloads: workloads.into(),
            phases,
            bounded: true,
            ..StreamHeader::default()
        };
        let operations = Arc::new(operations);
        Stream { header, operations, next: HashMap::new(), breaks_at: None }
    }

    pub fn run_client(&self) -> Option<u32> {
        self.header.run_client.then(|| self.header.workload_clients())
    }
}

impl OperationSource for Stream {
    fn header(&self) -> &StreamHeader {
        &self.header
    }

    fn pull(
        &mut self,
        client: u32,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        let all = self.operations[client as usize].iter().filter(|op| op.section == section);
        let next = self.next.entry((client, section)).or_default();
        let before = into.len();
        let left = match self.breaks_at {
            Some((broken, at)) if (broken, Section::Iteration) == (client, section) => at - *next,
            _ => usize::MAX,
        };
        into.extend(all.clone().skip(*next).take(max.min(left)).cloned());
        *next += into.len() - before;
        if max > left {
            return Err(SourceError { message: "broke off".into(), client: None });
        }
        Ok(if *next == all.count() { Progress::End } else { Progress::More })
    }
}

/// A builder of one client's operations, which it numbers consecutively.
pub struct Script {
    client: u32,
    operations: Vec<Operation>,
    section: Section,
    iteration: u32,
    /// The expectation of the operations that are pushed next.
    pub expect: Expect,
}

impl Script {
    pub fn new(client: u32) -> Script {
        Script {
            client,
            operations: Vec::new(),
            section: Section::Setup,
            iteration: 0,
            expect: Expect::Any,
        }
    }

    pub fn begin(&mut self, section: Section, iteration: u32) {
        (self.section, self.iteration) = (section, iteration);
    }

    pub fn push(&mut self, due: Due, kind: OperationKind) {
        let seq = self.operations.len() as u32;
        self.operations.push(Operation {
            due,
            section: self.section,
            iteration: self.iteration,
            expect: self.expect.clone(),
            ..Operation::new(self.client, seq, kind)
        });
    }

    pub fn finish(self) -> Vec<Operation> {
        self.operations
    }
}

/// Returns a stat of the share's root, which always exists.
pub fn stat() -> OperationKind {
    OperationKind::ByPath(PathOperation::Stat { path: SharePath::new("").unwrap() })
}

pub fn open(path: &str, handle: u32) -> OperationKind {
    OperationKind::Open(OpenOperation {
        path: SharePath::new(path).unwrap(),
        mode: OpenMode::ReadWrite,
        disposition: CreateDisposition::OpenIf,
        handle_ref: HandleRef(handle),
        extensions: None,
    })
}

pub fn close(handle: u32) -> OperationKind {
    HandleOperation::Close.on(HandleRef(handle))
}
