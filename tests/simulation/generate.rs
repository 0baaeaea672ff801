//! Random streams from a seed: closed loops, recorded times, open loops.

use std::sync::Arc;

use smbench::ir::{
    Due, Expect, FileControl, HandleOperation, HandleRef, Late, OpenMode, OpenOperation, Operation,
    OperationKind, PathOperation, Pattern, Payload, Phase, Section, Step, Workload,
};
use smbench::protocol::SharePath;
use smbench::protocol::create::CreateDisposition;

use super::workload::{Dice, Script, Stream, close, stat};

const MS: u64 = 1_000_000;

/// The times at which a workload's operations are due.
#[derive(Clone, Copy)]
enum Pace {
    Closed,
    Recorded,
    /// Arrivals of a client that are about `gap_ns` apart.
    Open {
        gap_ns: u64,
        late: Late,
    },
}

pub fn stream(dice: &mut Dice) -> Stream {
    let mut workloads = Vec::new();
    let mut operations = Vec::new();
    for index in 0..1 + dice.roll(3) {
        let clients = if dice.chance(5) { 0 } else { 1 + dice.roll(10) as u32 };
        let gap_ns = [MS / 3, MS, 4 * MS][dice.roll(3) as usize];
        let open = Pace::Open { gap_ns, late: Late::Queue };
        let mut pace = [Pace::Closed, Pace::Recorded, open, open][dice.roll(4) as usize];
        if let Pace::Open { late, .. } = &mut pace
            && dice.chance(50)
        {
            *late = Late::Drop;
        }
        workloads.push(Workload::new(&format!("w{index}"), clients));
        // Separate dice, so that other streams do not change.
        let mut changing = Dice(dice.0 ^ 0x5EED);
        let mut stepping = Dice(dice.0 ^ 0x57E9);
        let has_steps = stepping.chance(50);
        let changes = matches!(pace, Pace::Open { .. }) && changing.chance(40);
        for _ in 0..clients {
            let client = operations.len() as u32;
            let mut made = client_operations(dice, client, pace);
            if changes {
                change_late(&mut changing, &mut made);
            }
            if has_steps {
                add_steps(&mut stepping, &mut made);
            }
            operations.push(made);
        }
    }
    let clients = operations.len() as u64;
    let run_client = dice.chance(30);
    if run_client {
        operations.push(run_client_operations(dice, clients as u32));
    }
    let mut stream = Stream::of(workloads, phases(dice), operations);
    stream.header.run_client = run_client;
    stream.breaks_at =
        dice.chance(5).then(|| (dice.roll(clients + 1) as u32, dice.roll(60) as usize));
    stream
}

fn phases(dice: &mut Dice) -> Vec<Phase> {
    let mut phase = |name: &str, record| {
        let duration_ns = [20 * MS, 50 * MS, 500 * MS][dice.roll(3) as usize];
        Phase { name: name.into(), duration_ns, record }
    };
    let (warm, steady, last) = (phase("warm", false), phase("steady", true), phase("last", true));
    match dice.roll(4) {
        0 => vec![warm, steady, last],
        1 => vec![steady],
        _ => Vec::new(),
    }
}

/// Returns operations of run-wide setup and teardown only.
fn run_client_operations(dice: &mut Dice, client: u32) -> Vec<Operation> {
    let mut script = Script::new(client);
    for _ in 0..dice.roll(3) {
        script.push(Due::After(dice.roll(MS)), stat());
    }
    script.begin(Section::Teardown, 0);
    script.push(Due::After(0), stat());
    script.finish()
}

fn client_operations(dice: &mut Dice, client: u32, pace: Pace) -> Vec<Operation> {
    let mut script = Script::new(client);
    let folder = SharePath::new(&format!("c{client}")).unwrap();
    script.push(Due::After(0), OperationKind::ByPath(PathOperation::Mkdir { path: folder }));
    for _ in 0..dice.roll(2) {
        script.push(Due::After(dice.roll(MS / 2)), stat());
    }
    let mut handles = Handles::default();
    // The first arrival may be at time zero and have think time before it.
    let mut at_ns = if dice.chance(50) { 0 } else { dice.roll(2 * MS) };
    for iteration in 0..dice.roll(30) as u32 {
        script.begin(Section::Iteration, iteration);
        for (index, kind) in iteration_kinds(dice, client, &mut handles).into_iter().enumerate() {
            let think_ns = if dice.chance(60) { 0 } else { dice.roll(2 * MS) };
            let due = match pace {
                Pace::Closed => Due::After(think_ns),
                Pace::Recorded => {
                    at_ns += dice.roll(3 * MS);
                    Due::At(at_ns)
                }
                Pace::Open { gap_ns, late } if index == 0 => {
                    at_ns += dice.roll(2 * gap_ns);
                    Due::Arrival { at_ns, think_ns, late }
                }
                Pace::Open { .. } => Due::After(think_ns / 4),
            };
            script.expect = if dice.chance(50) { Expect::Any } else { Expect::Default };
            script.push(due, kind);
        }
    }
    script.begin(Section::Teardown, 0);
    script.expect = Expect::Any;
    script.push(Due::After(0), stat());
    script.finish()
}

/// Gives the arrivals from some one on the same fate where they are late, as a phase with a pace of
/// its own does.
fn change_late(dice: &mut Dice, operations: &mut [Operation]) {
    let arrivals: Vec<&mut Late> = (operations.iter_mut())
        .filter_map(|operation| match &mut operation.due {
            Due::Arrival { late, .. } => Some(late),
            _ => None,
        })
        .collect();
    let first = dice.roll(arrivals.len() as u64 + 1) as usize;
    let changed = if dice.chance(50) { Late::Queue } else { Late::Drop };
    arrivals.into_iter().skip(first).for_each(|late| *late = changed);
}

/// Puts operations into steps and inner steps, each of some operations in a row.
fn add_steps(dice: &mut Dice, operations: &mut [Operation]) {
    let together =
        |a: &Operation, b: &Operation| (a.section, a.iteration) == (b.section, b.iteration);
    for operations in operations.chunk_by_mut(together) {
        let (mut outer, mut inner, mut number): (Option<Arc<Step>>, _, _) = (None, None, 0);
        for operation in operations {
            let mut begin = |outer: &Option<Arc<Step>>, names: [&str; 2]| {
                number += 1;
                let (name, outer) = (names[dice.roll(2) as usize].into(), outer.clone());
                let step = Some(Arc::new(Step { name, number: number - 1, outer }));
                [step, None][usize::from(dice.chance(30))].clone()
            };
            let choice = begin(&None, ["save", "browse"]);
            let again = begin(&outer, ["save", "list"]);
            match dice.roll(4) {
                0 => (outer, inner) = (choice, None),
                1 => inner = again.filter(|_| outer.is_some()),
                _ => {}
            }
            operation.step = inner.clone().or_else(|| outer.clone());
        }
    }
}

/// The handles that are open if nothing fails. They are numbered like in scripts: the number of a
/// closed handle is used again.
#[derive(Default)]
struct Handles {
    open: Vec<HandleRef>,
    free: Vec<HandleRef>,
}

impl Handles {
    fn open(&mut self) -> HandleRef {
        let fresh = HandleRef((self.open.len() + self.free.len()) as u32);
        let handle = self.free.pop().unwrap_or(fresh);
        self.open.push(handle);
        handle
    }

    fn close(&mut self, handle: HandleRef) {
        self.open.retain(|open| *open != handle);
        self.free.push(handle);
    }
}

/// Returns an open, some operations on that file or another that was left open, and mostly a close.
fn iteration_kinds(dice: &mut Dice, client: u32, handles: &mut Handles) -> Vec<OperationKind> {
    let path = |text: String| SharePath::new(&text).unwrap();
    let own = |number: u64| path(format!("c{client}/f{number}"));
    let file = match dice.roll(5) {
        4 => path("shared".into()),
        number => own(number),
    };
    let opened = handles.open();
    let mut kinds = vec![OperationKind::Open(OpenOperation {
        path: file.clone(),
        mode: [OpenMode::Read, OpenMode::Write, OpenMode::ReadWrite][dice.roll(3) as usize],
        disposition: CreateDisposition::OpenIf,
        handle_ref: opened,
        extensions: None,
    })];
    for _ in 0..dice.roll(4) {
        let left_open = handles.open[dice.roll(handles.open.len() as u64) as usize];
        let handle_ref = if dice.chance(80) { opened } else { left_open };
        let (offset, exclusive, wait) = (dice.roll(100), dice.chance(50), dice.chance(30));
        kinds.push(match dice.roll(9) {
            0 => HandleOperation::Read { offset, length: 64 }.on(handle_ref),
            1 => HandleOperation::Write {
                offset,
                length: 64,
                payload: Payload::Pattern(Pattern::Text),
            }
            .on(handle_ref),
            2 => FileControl::Truncate { size: offset }.on(handle_ref),
            3 => OperationKind::ByPath(PathOperation::Stat { path: file.clone() }),
            4 => FileControl::Lock { offset, length: 10, exclusive, wait }.on(handle_ref),
            5 => FileControl::Unlock { offset, length: 10 }.on(handle_ref),
            6 => OperationKind::ByPath(PathOperation::Delete { path: own(dice.roll(4)) }),
            7 => OperationKind::ByPath(PathOperation::List {
                path: path(String::new()),
                pattern: Arc::from("*"),
            }),
            _ => FileControl::Flush.on(handle_ref),
        });
    }
    if dice.chance(85) {
        handles.close(opened);
        kinds.push(close(opened.0));
    }
    if let Some(&left_open) = handles.open.first()
        && left_open != opened
        && dice.chance(30)
    {
        handles.close(left_open);
        kinds.push(close(left_open.0));
    }
    kinds
}
