//! Streams made up from a seed.

use std::collections::HashMap;
use std::sync::Arc;

use smbench::ir::{
    Due, Expect, HandleRef, OpenMode, Operation, OperationKind, OperationSource, Pattern, Payload,
    Phase, Progress, Section, SourceError, StreamHeader, Workload,
};
use smbench::protocol::SharePath;
use smbench::protocol::create::CreateDisposition;

/// SplitMix64: one number after another from a seed.
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

/// All operations of a run, by client, cloned out on demand.
#[derive(Clone)]
pub struct Stream {
    pub header: StreamHeader,
    pub operations: Arc<Vec<Vec<Operation>>>,
    next: HashMap<(u32, Section), usize>,
    /// Breaks off before this operation of this client's iterations.
    breaks_at: Option<(u32, usize)>,
}

impl Stream {
    pub fn new(clients: u32, phases: Vec<Phase>, operations: Vec<Vec<Operation>>) -> Stream {
        let workload = Workload::new("w", clients);
        let header = StreamHeader {
            source: "simulation".into(),
            workloads: vec![workload],
            phases,
            bounded: true,
            ..StreamHeader::default()
        };
        let operations = Arc::new(operations);
        Stream { header, operations, next: HashMap::new(), breaks_at: None }
    }

    pub fn random(dice: &mut Dice) -> Stream {
        let clients = if dice.chance(5) { 0 } else { 1 + dice.roll(30) as u32 };
        let timed = dice.chance(40);
        let operations: Vec<_> =
            (0..clients).map(|client| client_operations(dice, client, timed)).collect();
        let phases = if dice.chance(50) {
            let phase =
                |name: &str, record| Phase { name: name.into(), duration_ns: 20_000_000, record };
            vec![phase("warm", false), phase("steady", true)]
        } else {
            Vec::new()
        };
        let mut stream = Stream::new(clients, phases, operations);
        stream.breaks_at = dice.chance(10).then(|| (dice.roll(30) as u32, dice.roll(60) as usize));
        if dice.chance(30) { stream.with_run_client(dice) } else { stream }
    }

    /// One more client, which has run-wide setup and teardown alone.
    fn with_run_client(mut self, dice: &mut Dice) -> Stream {
        let mut script = Script::new(self.header.clients());
        let root = || OperationKind::Stat { path: SharePath::new("").unwrap() };
        for _ in 0..dice.roll(3) {
            script.push(Due::After(dice.roll(1_000_000)), root());
        }
        script.begin(Section::Teardown, 0);
        script.push(Due::After(0), root());
        let mut operations = Arc::unwrap_or_clone(self.operations);
        operations.push(script.finish());
        self.operations = Arc::new(operations);
        self.header.run_client = true;
        self
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

/// Builds one client's operations with consecutive numbers.
pub struct Script {
    client: u32,
    operations: Vec<Operation>,
    section: Section,
    iteration: u32,
}

impl Script {
    pub fn new(client: u32) -> Script {
        Script { client, operations: Vec::new(), section: Section::Setup, iteration: 0 }
    }

    pub fn begin(&mut self, section: Section, iteration: u32) {
        (self.section, self.iteration) = (section, iteration);
    }

    pub fn push(&mut self, due: Due, kind: OperationKind) {
        self.operations.push(Operation {
            client_idx: self.client,
            seq: self.operations.len() as u32,
            due,
            section: self.section,
            iteration: self.iteration,
            expect: Expect::Any,
            id: None,
            kind,
        });
    }

    pub fn finish(self) -> Vec<Operation> {
        self.operations
    }
}

fn client_operations(dice: &mut Dice, client: u32, timed: bool) -> Vec<Operation> {
    let mut script = Script::new(client);
    let path = |text: String| SharePath::new(&text).unwrap();
    script.push(Due::After(0), OperationKind::Mkdir { path: path(format!("c{client}")) });
    for _ in 0..dice.roll(2) {
        script.push(Due::After(dice.roll(500_000)), OperationKind::Stat { path: path("".into()) });
    }
    let mut at_ns = 0;
    for iteration in 0..dice.roll(30) as u32 {
        script.begin(Section::Iteration, iteration);
        let file = match dice.roll(5) {
            4 => path("shared".into()),
            own => path(format!("c{client}/f{own}")),
        };
        let handle_ref = HandleRef(iteration);
        let mode = [OpenMode::Read, OpenMode::Write, OpenMode::ReadWrite][dice.roll(3) as usize];
        let mut kinds = vec![OperationKind::Open {
            path: file.clone(),
            mode,
            disposition: CreateDisposition::OpenIf,
            handle_ref,
            extensions: None,
        }];
        for _ in 0..dice.roll(4) {
            kinds.push(match dice.roll(6) {
                0 => OperationKind::Read { handle_ref, offset: dice.roll(100), length: 64 },
                1 => OperationKind::Write {
                    handle_ref,
                    offset: dice.roll(100),
                    length: 64,
                    payload: Payload::Pattern(Pattern::Text),
                },
                2 => OperationKind::Truncate { handle_ref, size: dice.roll(100) },
                3 => OperationKind::Stat { path: file.clone() },
                4 => OperationKind::Lock {
                    handle_ref,
                    offset: dice.roll(10),
                    length: 10,
                    exclusive: dice.chance(50),
                    wait: dice.chance(50),
                },
                _ => OperationKind::Flush { handle_ref },
            });
        }
        if dice.chance(85) {
            kinds.push(OperationKind::Close { handle_ref });
        }
        for kind in kinds {
            let due = if timed {
                at_ns += dice.roll(3_000_000);
                Due::At(at_ns)
            } else {
                Due::After(if dice.chance(50) { 0 } else { dice.roll(2_000_000) })
            };
            script.push(due, kind);
        }
    }
    script.begin(Section::Teardown, 0);
    script.push(Due::After(0), OperationKind::Stat { path: path(format!("c{client}")) });
    script.finish()
}
