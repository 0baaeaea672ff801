//! Laws of the stages that keep a part of a stream: `filter`, `sample` and `mix`.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use smbench::ir::{HandleOperation, HandleRef, OpenOperation, Operation, OperationKind, Section};
use smbench::transform::{FilterStage, MixRule, MixStage, SampleStage};

use super::any_chain::{any_filter, any_globs, any_sample, globs};
use super::any_document::{any_document, any_document_without_arrivals};
use super::{applied, for_all, nominal_times, read, whole};

/// Checks that every operation on a handle has its open before it, and that no handle is closed
/// twice.
fn handles_are_balanced(operations: &[Operation]) {
    let mut open = HashSet::new();
    for operation in operations {
        let found = match &operation.kind {
            OperationKind::Open(of) => open.insert(of.handle_ref),
            OperationKind::OnHandle(handle, HandleOperation::Close) => open.remove(handle),
            OperationKind::OnHandle(handle, _) => open.contains(handle),
            OperationKind::ByPath(_) => true,
        };
        assert!(found, "{operation:?}");
    }
}

/// Checks that `output` is a part of `input` in the same order, and returns the nominal times of
/// each operation in both.
fn kept<'o>(input: &[Operation], output: &'o [Operation]) -> Vec<(&'o Operation, u64, u64)> {
    let mut left = input.iter().zip(nominal_times(input));
    let mut kept = Vec::new();
    for (operation, output_ns) in output.iter().zip(nominal_times(output)) {
        let found = left.find(|(it, _)| it.seq == operation.seq);
        let (original, input_ns) = found.expect("an operation was added or moved");
        assert_eq!(&Operation { due: operation.due, ..original.clone() }, operation);
        kept.push((operation, input_ns, output_ns));
    }
    handles_are_balanced(output);
    kept
}

fn is_close(operation: &Operation) -> bool {
    matches!(operation.kind, OperationKind::OnHandle(_, HandleOperation::Close))
}

/// Returns for each handle the path with which it was opened.
fn opened_paths(operations: &[Operation]) -> HashMap<HandleRef, String> {
    let opens = operations.iter().filter_map(|operation| match &operation.kind {
        OperationKind::Open(OpenOperation { handle_ref, path, .. }) => {
            Some((*handle_ref, path.as_str().to_string()))
        }
        _ => None,
    });
    opens.collect()
}

/// Returns whether an operation meets the conditions of a filter that do not depend on its
/// handle's open.
fn meets(filter: &FilterStage, operation: &Operation, nominal_ns: u64, path: &str) -> bool {
    let iterates = operation.section == Section::Iteration;
    let of_type = operation.operation_type();
    filter.operations.as_ref().is_none_or(|types| types.contains(&of_type))
        && filter.path.as_ref().is_none_or(|globs| globs.matches(path))
        && filter.from_ns.is_none_or(|from_ns| !iterates || from_ns <= nominal_ns)
        && filter.to_ns.is_none_or(|to_ns| !iterates || nominal_ns < to_ns)
}

#[test]
fn a_filter_keeps_what_meets_its_conditions_at_the_same_time() {
    for_all(200, (any_document_without_arrivals(), any_filter()), |(document, filter)| {
        let input = document.stream();
        let Ok(output) = applied(&filter, &input, 0) else { return };
        let names = input.facts().header.clone();
        let kept_names = output.facts().header.clone();
        let (input, output) = (whole(read(&*input, 64)), whole(read(&*output, 64)));
        // The clients that do not match are not in the output, and the others keep their names.
        let is_kept = |client: u32| {
            client >= names.workload_clients()
                || filter.clients.as_ref().is_none_or(|it| it.matches(&names.client_name(client)))
        };
        let input = (0..).zip(&input).filter(|(client, _)| is_kept(*client));
        let input: Vec<_> =
            input.map(|(client, input)| (names.client_name(client), input)).collect();
        assert_eq!(input.len(), output.len());
        for (number, ((name, input), output)) in (0..).zip(input.into_iter().zip(&output)) {
            assert_eq!(kept_names.client_name(number), name);
            let mut expected = HashSet::new();
            let (paths, mut open) = (opened_paths(input), HashSet::new());
            for (operation, nominal_ns) in input.iter().zip(nominal_times(input)) {
                let handle = operation.kind.handle_ref();
                let path = match handle {
                    Some(handle) => paths[&handle].as_str(),
                    None => operation.kind.path().unwrap().as_str(),
                };
                let is_open = matches!(operation.kind, OperationKind::Open(_));
                let may = is_open || handle.is_none_or(|handle| open.contains(&handle));
                let fits = is_close(operation) || meets(&filter, operation, nominal_ns, path);
                if may && fits {
                    expected.insert(operation.seq);
                    open.extend(handle.filter(|_| is_open));
                }
            }
            let kept = kept(input, output);
            assert_eq!(kept.iter().map(|it| it.0.seq).collect::<HashSet<_>>(), expected);
            let (from_ns, to_ns) = (filter.from_ns.unwrap_or(0), filter.to_ns.unwrap_or(u64::MAX));
            for (operation, input_ns, output_ns) in kept {
                let iterates = operation.section == Section::Iteration;
                let moved = is_close(operation) && iterates;
                let expected = if moved { input_ns.max(from_ns).min(to_ns) } else { input_ns };
                assert_eq!(output_ns, expected, "{operation:?}");
            }
        }
    });
}

#[test]
fn a_sample_keeps_whole_sequences_at_the_same_time() {
    for_all(150, (any_document_without_arrivals(), any_sample()), |(document, sample)| {
        let input = document.stream();
        let output = applied(&sample, &input, 0).unwrap();
        let (input, output) = (whole(read(&*input, 64)), whole(read(&*output, 64)));
        for (input, output) in input.iter().zip(&output) {
            for (operation, input_ns, output_ns) in kept(input, output) {
                assert_eq!(output_ns, input_ns, "{operation:?}");
            }
            let opened = opened_paths(output);
            let outside = |it: &&Operation| it.section != Section::Iteration;
            let of_kept = |it: &&Operation| {
                it.kind.handle_ref().is_none_or(|handle| opened.contains_key(&handle))
            };
            let whole_sequences = input
                .iter()
                .filter(of_kept)
                .filter(|it| it.kind.handle_ref().is_some() || outside(it));
            let kept = output.iter().filter(|it| it.kind.handle_ref().is_some() || outside(it));
            assert!(whole_sequences.map(|it| it.seq).eq(kept.map(|it| it.seq)));
            if sample == (SampleStage { fraction: 1.0 }) {
                assert_eq!(input, output);
            }
        }
    });
}

fn rules(weight: f64) -> impl Strategy<Value = MixStage> {
    any_globs().prop_map(move |path| MixStage { rules: vec![MixRule { path, weight }] })
}

#[test]
fn a_mix_with_weights_of_one_changes_nothing() {
    for_all(100, (any_document(), rules(1.0)), |(document, mix)| {
        let input = document.stream();
        let output = applied(&mix, &input, 0).unwrap();
        assert_eq!(read(&*input, 64), read(&*output, 64));
    });
}

/// Returns the paths that are opened in iterations and match, in order. Only sequences that are
/// closed there count.
fn closed_opens(operations: &[Operation], mix: &MixStage) -> Vec<String> {
    let iterations = || operations.iter().filter(|it| it.section == Section::Iteration);
    let closed: HashSet<_> =
        iterations().filter(|it| is_close(it)).filter_map(|it| it.kind.handle_ref()).collect();
    let opens = iterations().filter(|it| matches!(it.kind, OperationKind::Open(_)));
    let closed = opens.filter(|it| it.kind.handle_ref().is_some_and(|it| closed.contains(&it)));
    let paths = closed.filter_map(|it| it.kind.path()).map(|path| path.as_str().to_string());
    paths.filter(|path| mix.rules[0].path.matches(path)).collect()
}

#[test]
fn a_mix_opens_as_many_files_as_its_weight_says() {
    let weights = prop::sample::select(vec![0.0, 1.0, 2.0, 3.0]).prop_flat_map(rules);
    for_all(150, (any_document(), weights), |(document, mix)| {
        let input = document.stream();
        let output = applied(&mix, &input, 0).unwrap();
        let (input, output) = (whole(read(&*input, 64)), whole(read(&*output, 64)));
        let weight = mix.rules[0].weight as usize;
        for (input, output) in input.iter().zip(&output) {
            handles_are_balanced(output);
            let (mut before, mut after) = (closed_opens(input, &mix), closed_opens(output, &mix));
            assert_eq!(after.len(), weight * before.len());
            before.sort();
            after.sort();
            after.dedup();
            before.dedup();
            assert!(weight == 0 || after == before);
            let outside = |it: &&Operation| it.section != Section::Iteration;
            if weight > 0 {
                let kept = |operations: &[Operation]| {
                    operations.iter().filter(outside).map(|it| it.seq).collect::<Vec<_>>()
                };
                assert_eq!(kept(input), kept(output));
            }
        }
    });
}

#[test]
fn a_weight_of_zero_leaves_no_open_of_a_matching_path_in_the_iterations() {
    let mix = MixStage { rules: vec![MixRule { path: globs(&["docs/**"]), weight: 0.0 }] };
    for_all(50, any_document(), |document| {
        let output = applied(&mix, &document.stream(), 0).unwrap();
        for operation in whole(read(&*output, 64)).iter().flatten() {
            let opened = match &operation.kind {
                OperationKind::Open(open) if operation.section == Section::Iteration => &open.path,
                _ => continue,
            };
            assert!(!mix.rules[0].path.matches(opened.as_str()), "{opened:?}");
        }
    });
}
