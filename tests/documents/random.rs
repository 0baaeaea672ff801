//! Random streams of every kind of operation.

use std::path::Path;
use std::sync::Arc;

use smbench::ir::payload::MAX_IO_BYTES;
use smbench::ir::{
    Blob, Due, Expect, FileControl, HandleOperation, HandleRef, Late, OpenMode, OpenOperation,
    Operation, OperationKind, OperationSource, PathOperation, Pattern, Payload, Progress, Section,
    SourceError, Step, StreamHeader, Workload,
};
use smbench::protocol::create::{CreateDisposition, OplockLevel};
use smbench::protocol::{
    BreakAnswer, BreakPolicy, CreateContext, CreateParameters, Durable, Lease, NtStatus, SharePath,
};

/// A small random number generator for these tests, so that a seed always means the same.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Returns a number from 0 to below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn bool(&mut self) -> bool {
        self.below(2) == 1
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

/// A stream whose operations are made in advance.
pub struct Made {
    header: StreamHeader,
    /// The operations of each client in reverse order, so that the next is the last.
    operations: Vec<Vec<Operation>>,
}

impl Made {
    /// Creates a stream. `operations` are in the order of each client.
    pub fn new(header: StreamHeader, operations: Vec<Operation>) -> Made {
        let mut clients = vec![Vec::new(); header.clients() as usize];
        for operation in operations.into_iter().rev() {
            clients[operation.client_idx as usize].push(operation);
        }
        Made { header, operations: clients }
    }
}

impl OperationSource for Made {
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
        let left = &mut self.operations[client as usize];
        while left.last().is_some_and(|operation| operation.section < section) {
            left.pop();
        }
        for _ in 0..max {
            match left.pop_if(|operation| operation.section == section) {
                Some(operation) => into.push(operation),
                None => return Ok(Progress::End),
            }
        }
        Ok(Progress::More)
    }
}

pub fn header(clients: u32, run_client: bool) -> StreamHeader {
    let workload = Workload::new("w", clients);
    StreamHeader {
        source: "random.lua".into(),
        seed: 3,
        workloads: vec![workload].into(),
        run_client,
        bounded: true,
        ..StreamHeader::default()
    }
}

/// Returns `count` operations for each client. Handles are numbered as they are opened.
pub fn stream(seed: u64, clients: u32, count: u32, blob: &Path) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let mut operations = Vec::new();
    for client in 0..clients {
        let mut open: Vec<HandleRef> = Vec::new();
        let (mut handles, mut at, mut begun) = (0, 0, None);
        for seq in 0..count {
            let section = match seq * 10 / count {
                0 => Section::Setup,
                9 => Section::Teardown,
                _ => Section::Iteration,
            };
            let kind = kind(&mut random, &mut open, &mut handles, blob);
            let iteration = if section == Section::Iteration { seq / 7 } else { 0 };
            let begins = section == Section::Iteration && begun < Some(iteration);
            begun = begun.max(begins.then_some(iteration));
            let think_ns = random.pick(&[0, 0, 1, 999, 5_000_000_000]);
            let due = match random.below(5) {
                0 if section == Section::Iteration => {
                    at += random.below(1_000_000);
                    Due::At(at)
                }
                1 if begins => {
                    let late = random.pick(&[Late::Queue, Late::Drop]);
                    Due::Arrival { at_ns: random.below(1_000_000), think_ns, late }
                }
                _ => Due::After(think_ns),
            };
            operations.push(Operation {
                due,
                section,
                iteration,
                expect: expect(&mut random),
                step: step(&mut random),
                id: (random.below(3) == 0).then(|| format!("op \"{client}\" ü/{seq}").into()),
                ..Operation::new(client, seq, kind)
            });
        }
    }
    operations
}

fn expect(random: &mut Random) -> Expect {
    match random.below(6) {
        0 => Expect::Any,
        1 => Expect::Statuses([NtStatus::SUCCESS, NtStatus(0xC0DE_0001)].into()),
        _ => Expect::Default,
    }
}

fn step(random: &mut Random) -> Option<Arc<Step>> {
    let mut step = |outer| {
        let number = random.below(3) as u32;
        random.bool().then(|| Arc::new(Step { name: "a-Step_0".into(), number, outer }))
    };
    let outer = step(None)?;
    step(Some(outer.clone())).or(Some(outer))
}

fn break_policy(random: &mut Random) -> BreakPolicy {
    match random.below(3) {
        0 => BreakPolicy { answer: BreakAnswer::Ignore, ..BreakPolicy::default() },
        _ => BreakPolicy {
            answer: BreakAnswer::Acknowledge,
            delay_ns: random.pick(&[0, 1, 1_500, 50_000_000, 34_999_999_999]),
            flush: random.bool(),
        },
    }
}

fn kind(
    random: &mut Random,
    open: &mut Vec<HandleRef>,
    handles: &mut u32,
    blob: &Path,
) -> OperationKind {
    let path = SharePath::new(&format!("folder {}/ünïcode{}", random.below(9), random.below(99)));
    let path = path.unwrap();
    if open.is_empty() || random.below(5) == 0 {
        let handle_ref = HandleRef(*handles);
        *handles += 1;
        open.push(handle_ref);
        let extensions = CreateParameters {
            access_mask: random.bool().then(|| random.below(1 << 32) as u32),
            share_mode: random.bool().then(|| random.below(8) as u32),
            disposition: random.bool().then(|| random.pick(&CreateDisposition::ALL)),
            create_options: random.bool().then(|| random.below(1 << 24) as u32),
            file_attributes: random.bool().then(|| random.below(1 << 20) as u32),
            requested_oplock: random.bool().then(|| random.pick(&OplockLevel::ALL)),
            lease: random.bool().then(|| Lease {
                state: random.below(8) as u32,
                key: random.bool().then(|| [random.below(256) as u8; 16]),
                parent_key: None,
                version: 1 + random.below(2) as u8,
            }),
            durable: random
                .bool()
                .then(|| Durable { version: 2, timeout_ms: random.below(1 << 32) as u32 }),
            create_contexts: (0..random.below(3))
                .map(|_| CreateContext {
                    name: b"ExtA".to_vec(),
                    data: vec![random.below(256) as u8; random.below(9) as usize],
                })
                .collect(),
            reopen: random.bool(),
            on_break: random.bool().then(|| break_policy(random)),
        };
        return OperationKind::Open(OpenOperation {
            path,
            mode: random.pick(&[OpenMode::Read, OpenMode::Write, OpenMode::ReadWrite]),
            disposition: random.pick(&CreateDisposition::ALL),
            handle_ref,
            extensions: (!extensions.is_empty()).then(|| Arc::new(extensions)),
        });
    }
    let handle_ref = random.pick(open);
    let (offset, length) = (random.below(1 << 40), random.below(MAX_IO_BYTES + 1));
    match random.below(14) {
        0 | 1 => {
            open.retain(|handle| *handle != handle_ref);
            HandleOperation::Close.on(handle_ref)
        }
        2 => HandleOperation::Read { offset, length }.on(handle_ref),
        3 => {
            let pattern = random.pick(&[Pattern::Zero, Pattern::Random, Pattern::Text]);
            HandleOperation::Write { offset, length, payload: Payload::Pattern(pattern) }
                .on(handle_ref)
        }
        4 => {
            let blob = Blob::new(blob);
            let payload = Payload::Blob(Arc::new(blob));
            HandleOperation::Write { offset, length: random.below(6), payload }.on(handle_ref)
        }
        5 => {
            let dest_path = SharePath::new("elsewhere").unwrap();
            OperationKind::ByPath(PathOperation::Rename {
                source_path: path,
                dest_path,
                replace: random.bool(),
            })
        }
        6 => OperationKind::ByPath(PathOperation::Delete { path }),
        7 => OperationKind::ByPath(PathOperation::Mkdir { path }),
        8 => OperationKind::ByPath(PathOperation::Rmdir { path }),
        9 => OperationKind::ByPath(PathOperation::Stat { path }),
        10 => OperationKind::ByPath(PathOperation::List {
            path,
            pattern: random.pick(&["*", "*.d?c", "a\"b"]).into(),
        }),
        11 => FileControl::Truncate { size: offset }.on(handle_ref),
        12 => FileControl::Flush.on(handle_ref),
        _ => match random.bool() {
            true => FileControl::Lock {
                offset,
                length: u64::MAX,
                exclusive: random.bool(),
                wait: random.bool(),
            }
            .on(handle_ref),
            false => FileControl::Unlock { offset, length }.on(handle_ref),
        },
    }
}
