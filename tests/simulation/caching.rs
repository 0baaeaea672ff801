//! Caching in random streams: clients ask for oplocks and leases on files they share, and answer
//! breaks in every possible way.

use std::sync::Arc;

use smbench::ir::{
    FileControl, HandleOperation, OpenOperation, Operation, OperationKind, PathOperation,
};
use smbench::protocol::create::OplockLevel;
use smbench::protocol::{BreakAnswer, BreakPolicy, CreateParameters, Lease, LeaseState, SharePath};

use super::workload::{Dice, Stream};

const MS: u64 = 1_000_000;

/// The number of shared files: few enough that clients meet. Renames use the same names.
const SHARED: u64 = 3;

fn shared(dice: &mut Dice) -> SharePath {
    SharePath::new(&format!("s{}", dice.roll(SHARED))).unwrap()
}

pub fn ask(dice: &mut Dice, stream: &mut Stream) {
    stream.answer_breaks(|| policy(dice));
    let mut operations: Vec<Vec<Operation>> = stream.operations.to_vec();
    for operation in operations.iter_mut().flatten() {
        let kind = match &operation.kind {
            OperationKind::Open(OpenOperation { mode, disposition, handle_ref, .. })
                if dice.chance(70) =>
            {
                OperationKind::Open(OpenOperation {
                    path: shared(dice),
                    mode: *mode,
                    disposition: *disposition,
                    handle_ref: *handle_ref,
                    extensions: Some(Arc::new(parameters(dice))),
                })
            }
            OperationKind::ByPath(PathOperation::Stat { path }) if !path.is_root() => {
                OperationKind::ByPath(PathOperation::Stat { path: shared(dice) })
            }
            OperationKind::ByPath(PathOperation::Delete { .. }) if dice.chance(30) => {
                OperationKind::ByPath(PathOperation::Delete { path: shared(dice) })
            }
            OperationKind::ByPath(PathOperation::Delete { .. }) if dice.chance(40) => {
                let (source_path, dest_path) = (shared(dice), shared(dice));
                OperationKind::ByPath(PathOperation::Rename {
                    source_path,
                    dest_path,
                    replace: dice.chance(50),
                })
            }
            // A flush is always part of the answer to a break, so the stream contains none.
            OperationKind::OnHandle(handle_ref, HandleOperation::Control(FileControl::Flush)) => {
                HandleOperation::Read { offset: 0, length: 8 }.on(*handle_ref)
            }
            other => other.clone(),
        };
        operation.kind = kind;
    }
    stream.operations = Arc::new(operations);
}

fn parameters(dice: &mut Dice) -> CreateParameters {
    let (mut requested_oplock, mut lease) = (None, None);
    if dice.chance(50) {
        let levels = [OplockLevel::II, OplockLevel::Exclusive, OplockLevel::Batch];
        requested_oplock = Some(levels[dice.roll(3) as usize]);
    } else {
        let states = [LeaseState::R, LeaseState::RH, LeaseState::RW, LeaseState::RWH];
        let state = states[dice.roll(4) as usize].bits();
        let version = 1 + dice.roll(2) as u8;
        lease = Some(Lease { state, key: None, parent_key: None, version });
    }
    let on_break = dice.chance(20).then(|| policy(dice));
    CreateParameters { requested_oplock, lease, on_break, ..CreateParameters::default() }
}

fn policy(dice: &mut Dice) -> BreakPolicy {
    let answer = if dice.chance(10) { BreakAnswer::Ignore } else { BreakAnswer::Acknowledge };
    let delay_ns = match dice.roll(20) {
        0 => 40_000 * MS,
        1..8 => dice.roll(5 * MS),
        _ => 0,
    };
    BreakPolicy { answer, delay_ns, flush: dice.chance(40) }
}
