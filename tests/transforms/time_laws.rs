//! Laws of the stages that change times or repeat operations: `time_warp`, `shift` and
//! `repeat_stream`.

use std::collections::HashSet;

use proptest::prelude::*;
use smbench::ir::{HandleOperation, Operation, OperationKind, Section};
use smbench::transform::{RepeatStreamStage, ShiftStage, TimeWarpStage};

use super::any_chain::{any_factor, any_shift};
use super::any_document::any_document;
use super::{applied, for_all, read, whole};

#[test]
fn a_warp_and_its_inverse_change_nothing() {
    for_all(100, (any_document(), any_factor()), |(document, factor)| {
        let input = document.stream();
        let warped = applied(&TimeWarpStage { factor }, &input, 0).unwrap();
        let back = applied(&TimeWarpStage { factor: 1.0 / factor }, &warped, 1).unwrap();
        assert_eq!(read(&*back, 64), read(&*input, 64));
        assert_eq!(back.facts().length_ns, input.facts().length_ns);
        assert_eq!(back.facts().header.phases, input.facts().header.phases);
    });
}

#[test]
fn a_warp_scales_the_times_of_iterations_alone() {
    for_all(50, (any_document(), any_factor()), |(document, factor)| {
        let input = document.stream();
        let warped = applied(&TimeWarpStage { factor }, &input, 0).unwrap();
        let (input, warped) = (whole(read(&*input, 64)), whole(read(&*warped, 64)));
        for (before, after) in input.iter().flatten().zip(warped.iter().flatten()) {
            let due = match before.section {
                Section::Iteration => before.due.scaled(factor),
                _ => before.due,
            };
            assert_eq!(after, &Operation { due, ..before.clone() });
        }
    });
}

#[test]
fn a_shift_and_its_opposite_change_nothing() {
    let later = any_shift().prop_filter("earlier", |shift| shift.by_ns >= 0);
    for_all(100, (any_document(), later), |(document, shift)| {
        let input = document.stream();
        let Ok(shifted) = applied(&shift, &input, 0) else { return };
        let opposite = ShiftStage { by_ns: -shift.by_ns, ..shift };
        let back = applied(&opposite, &shifted, 1).unwrap();
        assert_eq!(read(&*back, 64), read(&*input, 64));
    });
}

/// The `seq` of operations that a stage adds. The first operation of a document is no close.
const INSERTED: u32 = 0;

/// Returns the operations of iterations that are not closes inserted between repetitions, and the
/// number of these.
fn without_inserted(operations: &[Operation]) -> (Vec<&Operation>, usize) {
    let inserted = |it: &&Operation| {
        it.seq == INSERTED && matches!(it.kind, OperationKind::OnHandle(_, HandleOperation::Close))
    };
    let iterations = operations.iter().filter(|it| it.section == Section::Iteration);
    let (inserted, own): (Vec<_>, Vec<_>) = iterations.partition(inserted);
    (own, inserted.len())
}

/// Returns the number of handles that are opened in the iterations and not closed there.
fn left_open(operations: &[Operation]) -> usize {
    let mut open = HashSet::new();
    for operation in operations.iter().filter(|it| it.section == Section::Iteration) {
        match &operation.kind {
            OperationKind::Open(of) => open.insert(of.handle_ref),
            OperationKind::OnHandle(handle, HandleOperation::Close) => open.remove(handle),
            _ => false,
        };
    }
    open.len()
}

#[test]
fn a_stream_that_is_repeated_makes_its_iterations_again() {
    for_all(150, (any_document(), 1..=4_u32), |(document, times)| {
        let input = document.stream();
        let repeat = RepeatStreamStage { times, period_ns: None };
        let output = applied(&repeat, &input, 0).unwrap();
        let (input, output) = (whole(read(&*input, 64)), read(&*output, 64));
        for (input, output) in input.iter().zip(output) {
            if let Some(error) = &output.error {
                assert!(times > 1 && error.message.contains("closes a handle of the setup"));
                continue;
            }
            let outside = |operations: &[Operation]| -> Vec<Operation> {
                operations.iter().filter(|it| it.section != Section::Iteration).cloned().collect()
            };
            assert_eq!(outside(input), outside(&output.operations));
            let (own, closes) = without_inserted(&output.operations);
            assert_eq!(closes, left_open(input) * (times as usize - 1));
            let iterations = input.iter().filter(|it| it.section == Section::Iteration);
            let again = (0..times).flat_map(|_| iterations.clone());
            assert!(own.iter().map(|it| (it.seq, &it.kind)).eq(again.map(|it| (it.seq, &it.kind))));
            assert!(own.is_sorted_by_key(|it| it.iteration), "iterations go backwards");
            if times == 1 {
                assert_eq!(input, &output.operations);
            }
        }
    });
}
