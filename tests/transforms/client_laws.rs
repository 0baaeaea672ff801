//! Laws of the stages that change which clients there are: `scale_clients`, `merge` and join.

use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;
use smbench::ir::{Due, NominalClock, Operation, OperationKind, PathOperation, Section};
use smbench::protocol::SharePath;
use smbench::transform::{
    MergeInput, OperationStream, PathTemplate, ReversedPairs, ScaleClientsStage, StagePlace,
    TimeWarpStage, TransformError, merge, reversed_pairs,
};

use super::any_chain::{any_factor, any_template};
use super::any_document::{Pace, any_document, any_document_of, any_document_without_arrivals};
use super::{applied, for_all, nominal_times, read, whole};

/// Returns the workload and the number there of each client that iterates.
fn iterating(stream: &dyn OperationStream) -> Vec<(usize, u32)> {
    let header = &stream.facts().header;
    (0..header.workload_clients()).filter_map(|client| header.workload_of(client)).collect()
}

/// Returns every path that an operation names.
fn paths(operation: &Operation) -> Vec<&SharePath> {
    match &operation.kind {
        OperationKind::Open(open) => vec![&open.path],
        OperationKind::OnHandle(..) => Vec::new(),
        OperationKind::ByPath(operation) => {
            let (path, other) = operation.paths();
            [path].into_iter().chain(other).collect()
        }
    }
}

#[test]
fn clones_do_what_their_originals_do_in_their_own_paths() {
    let jitter = prop_oneof![Just(0), Just(1_000_u64)];
    for_all(
        120,
        (any_document(), 0..9_u32, jitter, any_template()),
        |(document, more, jitter_ns, path)| {
            let input = document.stream();
            let to = input.facts().header.workload_clients() + more;
            let stage = ScaleClientsStage { to, jitter_ns, path: path.clone() };
            let output = applied(&stage, &input, 0).unwrap();
            assert_eq!(output.facts().header.workload_clients(), to);
            let originals = iterating(&*input);
            let (before, after) = (whole(read(&*input, 64)), read(&*output, 64));
            let mut shifts = HashMap::new();
            for ((workload, id), clone) in iterating(&*output).into_iter().zip(after) {
                let of_workload = originals.iter().filter(|it| it.0 == workload).count() as u32;
                let (k, id) = (id / of_workload, id % of_workload);
                let original = originals.iter().position(|it| *it == (workload, id)).unwrap();
                let original = &before[original];
                if k == 0 {
                    assert_eq!(&clone.operations, original);
                    continue;
                }
                for (before, after) in original.iter().zip(&clone.operations) {
                    assert_eq!(
                        (before.operation_type(), before.seq),
                        (after.operation_type(), after.seq)
                    );
                    for (before, after) in paths(before).iter().zip(paths(after)) {
                        assert_eq!(path.path(k, before).as_ref(), Ok(after));
                    }
                }
                if let Some(error) = &clone.error {
                    assert!(error.message.contains("has no valid path"), "{error}");
                    continue;
                }
                assert_eq!(original.len(), clone.operations.len());
                let is_arrival = |it: &Operation| matches!(it.due, Due::Arrival { .. });
                if original.iter().any(is_arrival) || document.pace == Pace::Mixed {
                    continue;
                }
                let times =
                    nominal_times(original).into_iter().zip(nominal_times(&clone.operations));
                for (operation, (before_ns, after_ns)) in original.iter().zip(times) {
                    let shift_ns = after_ns - before_ns;
                    if operation.section == Section::Iteration {
                        assert_eq!(*shifts.entry(k).or_insert(shift_ns), shift_ns, "of clone {k}");
                        assert!(shift_ns < jitter_ns.max(1));
                    } else {
                        assert_eq!(shift_ns, 0);
                    }
                }
            }
        },
    );
}

#[test]
fn the_run_wide_client_makes_the_directories_of_each_clone_and_repeats_itself_there() {
    for_all(80, (any_document(), 1..9_u32), |(document, more)| {
        let path = PathTemplate::new("all/c{k}/{path}").unwrap();
        let input = document.stream();
        let clients = input.facts().header.workload_clients();
        let stage = ScaleClientsStage { to: clients + more, jitter_ns: 0, path };
        let output = applied(&stage, &input, 0).unwrap();
        let before = whole(read(&*input, 64)).into_iter().nth(clients as usize).unwrap_or_default();
        let Some(after) = read(&*output, 64).pop().filter(|after| after.error.is_none()) else {
            return;
        };
        let clones = (clients + more).div_ceil(clients) as usize;
        let is_made = |it: &&Operation| {
            let own = |path: &SharePath| {
                path.as_str() == "all"
                    || path.as_str().split('/').count() == 2 && path.as_str().starts_with("all/c")
            };
            matches!(&it.kind, OperationKind::ByPath(PathOperation::Mkdir { path }) if own(path))
        };
        let made = after.operations.iter().filter(is_made).count();
        assert!(made >= 2 * (clones - 1), "{made} directories for {clones} clones");
        for section in [Section::Setup, Section::Teardown] {
            let count = |all: &[Operation]| all.iter().filter(|it| it.section == section).count();
            let added = if section == Section::Setup { 2 * (clones - 1) } else { 0 };
            assert_eq!(count(&after.operations), clones * count(&before) + added);
        }
    });
}

fn merged(
    streams: &[&Rc<dyn OperationStream>],
    join: bool,
) -> Result<Rc<dyn OperationStream>, TransformError> {
    let named = |(name, stream): (char, &&Rc<dyn OperationStream>)| MergeInput {
        name: Some(name.to_string()),
        stream: Rc::clone(*stream),
    };
    let inputs = ('a'..).zip(streams).map(named).collect();
    merge(inputs, join, StagePlace { name: "stage 0".into(), seed: 11, number: 0 })
}

#[test]
fn a_merge_of_one_stream_is_the_stream() {
    for_all(30, (any_document(), any::<bool>()), |(document, join)| {
        let input = document.stream();
        let output = merged(&[&input], join).unwrap();
        assert_eq!(read(&*output, 64), read(&*input, 64));
        assert_eq!(output.facts().header, input.facts().header);
    });
}

#[test]
fn a_merge_keeps_what_each_client_does() {
    for_all(80, (any_document(), any_document()), |(first, second)| {
        let inputs = [first.stream(), second.stream()];
        let Ok(output) = merged(&inputs.each_ref(), false) else { return };
        let mut after = whole(read(&*output, 64)).into_iter();
        for input in &inputs {
            let clients = input.facts().header.workload_clients() as usize;
            for before in whole(read(&**input, 64)).into_iter().take(clients) {
                assert_eq!(after.next().unwrap(), before);
            }
        }
        let headers = inputs.each_ref().map(|input| input.facts().header.clone());
        let names = ["a", "b"].into_iter().zip(&headers).flat_map(|(input, header)| {
            (0..header.workload_clients())
                .map(move |it| format!("{input}/{}", header.client_name(it)))
        });
        let header = &output.facts().header;
        assert!(names.eq((0..header.workload_clients()).map(|client| header.client_name(client))));
    });
}

#[test]
fn a_join_orders_by_time_and_keeps_what_each_part_does() {
    let captures = || any_document_of(Just(Pace::At));
    for_all(80, (captures(), captures()), |(first, second)| {
        let inputs = [first.stream(), second.stream()];
        let Ok(output) = merged(&inputs.each_ref(), true) else { return };
        let parts = inputs.each_ref().map(|input| whole(read(&**input, 64)));
        let header = &output.facts().header;
        for (client, joined) in (0..header.workload_clients()).zip(whole(read(&*output, 64))) {
            let name = header.client_name(client);
            let mut count = 0;
            for (input, of) in inputs.iter().zip(&parts) {
                let own = &input.facts().header;
                let own = (0..own.workload_clients()).find(|it| own.client_name(*it) == name);
                let Some(own) = own.map(|own| &of[own as usize]) else { continue };
                count += own.len();
                let mut rest = joined.iter();
                let in_order = own.iter().all(|it| {
                    rest.any(|joined| {
                        (joined.seq, joined.due, joined.section) == (it.seq, it.due, it.section)
                    })
                });
                assert!(in_order, "{name}: {own:?} in {joined:?}");
            }
            assert_eq!(joined.len(), count);
            let mut clock = NominalClock::default();
            let mut before_ns = 0;
            for operation in joined.iter().filter(|it| it.section == Section::Iteration) {
                clock.pass(operation.due, operation.iteration);
                assert_eq!(operation.due.at_ns(), Some(clock.now_ns()), "late");
                assert!(before_ns <= clock.now_ns());
                before_ns = clock.now_ns();
            }
        }
    });
}

#[test]
fn neither_clones_nor_another_speed_reverse_the_order_of_clients() {
    let scale = (0..9_u32, any_template());
    for_all(
        80,
        (any_document_without_arrivals(), any_factor(), scale),
        |(document, factor, scale)| {
            let input = document.stream();
            let (more, path) = scale;
            let to = input.facts().header.workload_clients() + more;
            let warped = applied(&TimeWarpStage { factor }, &input, 0).unwrap();
            let stage = ScaleClientsStage { to, jitter_ns: 1_000, path };
            let output = applied(&stage, &warped, 1).unwrap();
            if let Ok(found) = reversed_pairs(&*output) {
                assert_eq!(found, ReversedPairs::default());
            }
        },
    );
}
