//! Tests of the prerequisites of streams.

use std::sync::Arc;

use super::{MAX_TOTAL_BYTES, PrerequisiteError, PrerequisiteFinder, Prerequisites, RequiredFile};
use crate::ir::operation::{
    Expect, FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation, Operation,
    OperationKind, PathOperation, Section,
};
use crate::ir::payload::{Pattern, Payload};
use crate::protocol::create::CreateDisposition::{
    self, Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede,
};
use crate::protocol::{CreateParameters, NtStatus, SharePath};

const DIRECTORY: u32 = 0x1;
const DELETE_ON_CLOSE: u32 = 0x1040;

fn path(path: &str) -> SharePath {
    SharePath::new(path).unwrap()
}

fn open(at: &str, disposition: CreateDisposition) -> OperationKind {
    open_as(at, disposition, 0, None)
}

fn open_as(
    at: &str,
    disposition: CreateDisposition,
    handle: u32,
    create_options: Option<u32>,
) -> OperationKind {
    let parameters = CreateParameters { create_options, ..CreateParameters::default() };
    OperationKind::Open(OpenOperation {
        path: path(at),
        mode: OpenMode::ReadWrite,
        disposition,
        handle_ref: HandleRef(handle),
        extensions: create_options.map(|_| Arc::new(parameters)),
    })
}

fn read(offset: u64, length: u64) -> OperationKind {
    HandleOperation::Read { offset, length }.on(HandleRef(0))
}

fn write(offset: u64, length: u64) -> OperationKind {
    let payload = Payload::Pattern(Pattern::Zero);
    HandleOperation::Write { offset, length, payload }.on(HandleRef(0))
}

fn truncate(size: u64) -> OperationKind {
    FileControl::Truncate { size }.on(HandleRef(0))
}

fn close() -> OperationKind {
    HandleOperation::Close.on(HandleRef(0))
}

fn stat(at: &str) -> OperationKind {
    PathOperation::Stat { path: path(at) }.into()
}

fn list(at: &str) -> OperationKind {
    PathOperation::List { path: path(at), pattern: "*".into() }.into()
}

fn mkdir(at: &str) -> OperationKind {
    PathOperation::Mkdir { path: path(at) }.into()
}

fn rmdir(at: &str) -> OperationKind {
    PathOperation::Rmdir { path: path(at) }.into()
}

fn delete(at: &str) -> OperationKind {
    PathOperation::Delete { path: path(at) }.into()
}

fn rename(from: &str, to: &str) -> OperationKind {
    let (source_path, dest_path) = (path(from), path(to));
    PathOperation::Rename { source_path, dest_path, replace: true }.into()
}

fn expecting(kind: OperationKind, statuses: &[NtStatus]) -> Operation {
    let expect = Expect::Statuses(statuses.into());
    Operation { expect, ..Operation::new(0, 0, kind) }
}

fn of_operations(
    operations: impl IntoIterator<Item = Operation>,
) -> Result<Prerequisites, PrerequisiteError> {
    let mut finder = PrerequisiteFinder::default();
    for (seq, operation) in operations.into_iter().enumerate() {
        finder.operation(&Operation { seq: seq as u32, ..operation })?;
    }
    finder.finish()
}

/// Returns the prerequisites of one client's operations: directories end in a slash, and files have
/// their size.
fn of<const N: usize>(kinds: [OperationKind; N]) -> Vec<String> {
    listed(of_operations(kinds.map(|kind| Operation::new(0, 0, kind))).unwrap())
}

fn listed(found: Prerequisites) -> Vec<String> {
    let directories = found.directories.iter().map(|directory| format!("{directory}/"));
    let files = found.files.iter().map(|RequiredFile { path, size }| format!("{path} {size}"));
    directories.chain(files).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_file_that_is_opened_and_read_is_needed_with_the_largest_end_that_is_read() {
    let reads = [open("a/b/f", Open), read(0, 100), read(4_096, 512), read(0, 10), close()];
    assert_eq!(of(reads), ["a/", "a/b/", "a/b/f 4608"]);
}

#[test]
fn nothing_is_needed_of_what_the_stream_makes_itself() {
    assert_eq!(of([mkdir("a"), open("a/f", Create), read(0, 9), close(), stat("a/f")]), NOTHING);
    for disposition in [Create, OpenIf, OverwriteIf, Supersede] {
        assert_eq!(of([open("f", disposition), close(), open("f", Open), stat("f")]), NOTHING);
    }
    assert_eq!(of([mkdir("a"), rename("a", "b"), list("b"), rmdir("b"), mkdir("b")]), NOTHING);
}

#[test]
fn whatever_uses_a_path_first_needs_it_as_what_it_uses_it_for() {
    assert_eq!(of([open("f", Overwrite)]), ["f 0"]);
    assert_eq!(of([delete("f")]), ["f 0"]);
    assert_eq!(of([stat("f")]), ["f 0"]);
    assert_eq!(of([rename("f", "g")]), ["f 0"]);
    assert_eq!(of([list("d")]), ["d/"]);
    assert_eq!(of([rmdir("d")]), ["d/"]);
    assert_eq!(of([open_as("d", Open, 0, Some(DIRECTORY))]), ["d/"]);
    assert_eq!(of([stat("d"), list("d")]), ["d/"]);
    assert_eq!(of([rename("d", "e"), list("e")]), ["d/"], "a rename does not show the kind");
    assert_eq!(of([list(""), stat("")]), NOTHING, "the root exists");
}

#[test]
fn whatever_is_made_needs_the_directory_it_is_made_in() {
    assert_eq!(of([mkdir("a/b/c")]), ["a/", "a/b/"]);
    assert_eq!(of([open("a/f", Create)]), ["a/"]);
    assert_eq!(of([open("f", Create), rename("f", "a/g")]), ["a/"]);
}

#[test]
fn bytes_that_the_stream_wrote_before_need_not_exist() {
    assert_eq!(of([open("f", Open), write(0, 100), read(0, 100)]), ["f 0"]);
    assert_eq!(of([open("f", Open), write(0, 50), write(50, 50), read(10, 90)]), ["f 0"]);
    assert_eq!(of([open("f", Open), write(50, 50), read(0, 100)]), ["f 50"]);
    assert_eq!(of([open("f", Open), write(0, 50), read(0, 100)]), ["f 100"]);
    assert_eq!(of([open("f", Open), read(0, 100), write(0, 100)]), ["f 100"]);
    assert_eq!(of([open("f", Open), write(200, 9), read(0, 100)]), ["f 100"], "no hole is read");
    assert_eq!(of([open("f", Open), write(5, 0), read(0, 0)]), ["f 0"]);
}

#[test]
fn what_follows_a_truncation_reads_no_bytes_beyond_it() {
    assert_eq!(of([open("f", Open), truncate(10), read(0, 100)]), ["f 10"]);
    assert_eq!(of([open("f", Open), truncate(0), truncate(500), read(0, 100)]), ["f 0"]);
    assert_eq!(of([open("f", Overwrite), read(0, 100)]), ["f 0"]);
    let again = [open("f", Open), read(0, 64), close(), open("f", Overwrite), read(0, 100)];
    assert_eq!(of(again), ["f 64"]);
}

#[test]
fn a_file_that_is_opened_or_made_is_needed_only_if_it_is_read_before_it_is_written() {
    assert_eq!(of([open("a/f", OpenIf), write(0, 9), read(0, 9)]), ["a/"]);
    assert_eq!(of([open("a/f", OpenIf), read(0, 9), write(0, 9)]), ["a/", "a/f 9"]);
    let made = [mkdir("a"), open("a/f", OpenIf), read(0, 9)];
    assert_eq!(of(made), NOTHING, "nothing can be in a directory that the stream makes");
}

#[test]
fn a_directory_that_setup_makes_may_exist_and_then_holds_what_the_stream_uses() {
    let with = |section, expect: Expect| {
        let made = Operation { section, expect, ..Operation::new(0, 0, mkdir("a")) };
        let used = Operation::new(0, 1, open("a/f", Open));
        listed(of_operations([made, used]).unwrap())
    };
    assert_eq!(with(Section::Setup, Expect::Default), ["a/", "a/f 0"]);
    assert_eq!(with(Section::Iteration, Expect::Default), NOTHING);
    let either = [NtStatus::SUCCESS, NtStatus::OBJECT_NAME_COLLISION];
    assert_eq!(with(Section::Iteration, Expect::Statuses(either.into())), ["a/", "a/f 0"]);
    let unused = Operation { section: Section::Setup, ..Operation::new(0, 0, mkdir("a")) };
    assert_eq!(listed(of_operations([unused]).unwrap()), NOTHING);
}

#[test]
fn a_file_is_needed_where_it_is_before_the_run_whatever_it_is_called_later() {
    let moved = [rename("old", "new"), open("new/f", Open), read(0, 7)];
    assert_eq!(of(moved), ["old/", "old/f 7"]);
    let twice = [rename("a/b", "c"), rename("c/d", "e"), open("e/f", Open)];
    assert_eq!(of(twice), ["a/", "a/b/", "a/b/d/", "a/b/d/f 0"]);
    let open_meanwhile = [open("f", Open), rename("f", "g"), read(0, 5), stat("g")];
    assert_eq!(of(open_meanwhile), ["f 5"]);
    let swapped = [rename("a", "t"), rename("b", "a"), open("a", Open), read(0, 3)];
    assert_eq!(of(swapped), ["a 0", "b 3"]);
    let saved = [open("t", Create), rename("t", "doc"), open("doc", Open), read(0, 5)];
    assert_eq!(of(saved), NOTHING);
    let replaced = [stat("doc"), open("t", Create), rename("t", "doc"), stat("doc")];
    assert_eq!(of(replaced), ["doc 0"]);
}

#[test]
fn what_the_stream_removed_is_not_needed_again() {
    assert_eq!(of([delete("f"), stat("f"), open("f", Open), read(0, 9)]), ["f 0"]);
    assert_eq!(of([rmdir("d"), open("d/f", Open), mkdir("d/e")]), ["d/"]);
    assert_eq!(of([rename("f", "g"), open("f", Open), read(0, 9)]), ["f 0"]);
    assert_eq!(of([open("f", Create), delete("f"), open("f", Open), read(0, 9)]), NOTHING);
    assert_eq!(of([delete("f"), open("f", OpenIf), read(0, 9)]), ["f 0"]);
    let closed = [open_as("f", Open, 0, Some(DELETE_ON_CLOSE)), close(), open("f", Open)];
    assert_eq!(of([closed[0].clone(), closed[1].clone(), open("f", Open), read(0, 9)]), ["f 0"]);
    assert_eq!(of(closed), ["f 0"]);
}

#[test]
fn spellings_of_one_path_are_one_path_and_the_first_is_made() {
    let spelled = [open("Team/Übung.doc", Open), stat("TEAM/üBUNG.DOC"), list("team")];
    assert_eq!(of(spelled), ["Team/", "Team/Übung.doc 0"]);
    assert_eq!(of([mkdir("A"), open("a/F", Create), stat("A/f")]), NOTHING);
}

#[test]
fn handles_of_different_clients_are_different() {
    let by = |client_idx, kind| Operation { client_idx, ..Operation::new(0, 0, kind) };
    let found = of_operations([
        by(0, open("f", Open)),
        by(1, open("g", Open)),
        by(0, read(0, 10)),
        by(1, read(0, 20)),
        by(2, read(0, 30)),
    ]);
    assert_eq!(listed(found.unwrap()), ["f 10", "g 20"]);
}

#[test]
fn a_number_that_is_given_to_a_failed_open_stands_for_no_file() {
    let missing = expecting(open("g", Open), &[NtStatus::OBJECT_NAME_NOT_FOUND]);
    let first = Operation::new(0, 0, open("f", Open));
    let found = of_operations([first, missing, Operation::new(0, 0, read(0, 10))]);
    assert_eq!(listed(found.unwrap()), ["f 0"]);
}

#[test]
fn an_operation_that_should_find_nothing_needs_nothing_but_its_directory() {
    let not_found = [NtStatus::OBJECT_NAME_NOT_FOUND];
    for kind in [open("a/f", Open), stat("a/f"), delete("a/f"), rename("a/f", "b/g"), list("a/f")] {
        let found = of_operations([expecting(kind.clone(), &not_found)]);
        assert_eq!(listed(found.unwrap()), ["a/"], "{kind:?}");
    }
    // What was missing and is opened or made was made.
    let later = [Operation::new(0, 1, open("f", OpenIf)), Operation::new(0, 2, read(0, 9))];
    let made = [expecting(stat("f"), &not_found)].into_iter().chain(later);
    assert_eq!(listed(of_operations(made).unwrap()), NOTHING);
    let no_path = [NtStatus::OBJECT_PATH_NOT_FOUND];
    for statuses in [&no_path[..], &[no_path[0], not_found[0]], &[NtStatus::ACCESS_DENIED]] {
        let found = of_operations([expecting(open("a/f", Open), statuses)]);
        assert_eq!(listed(found.unwrap()), NOTHING, "{statuses:?}");
    }
}

#[test]
fn an_operation_that_may_find_nothing_needs_nothing() {
    let either = [NtStatus::SUCCESS, NtStatus::OBJECT_NAME_NOT_FOUND];
    for kind in [open("a/f", Open), stat("a/f"), delete("a/f"), rename("a/f", "b/g")] {
        let found = of_operations([expecting(kind.clone(), &either)]);
        assert_eq!(listed(found.unwrap()), NOTHING, "{kind:?}");
        let any = Operation { expect: Expect::Any, ..Operation::new(0, 0, kind) };
        assert_eq!(listed(of_operations([any]).unwrap()), NOTHING);
    }
    // After a delete that may find nothing there is nothing, so no file can be needed there.
    let gone = [expecting(delete("a/f"), &either), Operation::new(0, 0, open("a/f", Open))];
    assert_eq!(listed(of_operations(gone).unwrap()), ["a/"]);
    let made = [
        Operation::new(0, 0, open("f", Create)),
        expecting(delete("f"), &either),
        Operation::new(0, 0, open("f", Create)),
    ];
    assert_eq!(listed(of_operations(made).unwrap()), NOTHING);
}

#[test]
fn a_failure_that_is_caused_by_what_exists_needs_that() {
    let found = |kind, status| listed(of_operations([expecting(kind, &[status])]).unwrap());
    assert_eq!(found(open("f", Create), NtStatus::OBJECT_NAME_COLLISION), ["f 0"]);
    assert_eq!(found(mkdir("d"), NtStatus::OBJECT_NAME_COLLISION), ["d/"]);
    let in_the_way = [
        expecting(mkdir("f"), &[NtStatus::OBJECT_NAME_COLLISION]),
        Operation::new(0, 0, open("f", Open)),
    ];
    assert_eq!(listed(of_operations(in_the_way).unwrap()), ["f 0"]);
    assert_eq!(found(rename("f", "g"), NtStatus::OBJECT_NAME_COLLISION), ["f 0", "g 0"]);
    assert_eq!(found(open("d", Open), NtStatus::FILE_IS_A_DIRECTORY), ["d/"]);
    assert_eq!(found(list("f"), NtStatus::NOT_A_DIRECTORY), ["f 0"]);
    assert_eq!(found(rmdir("d"), NtStatus::DIRECTORY_NOT_EMPTY), ["d/"]);
    assert_eq!(found(list("d"), NtStatus::NO_SUCH_FILE), ["d/"]);
}

#[test]
fn a_path_that_is_a_file_and_a_directory_is_refused_with_both_operations() {
    let error = |kinds: [OperationKind; 2]| {
        of_operations(kinds.map(|kind| Operation::new(7, 0, kind))).unwrap_err().to_string()
    };
    let message = error([open("a/f", Open), list("a/F")]);
    assert!(
        message.starts_with(
            "a/f: Open 7-0 uses it as a file, and List 7-1 as a directory, so no server"
        ),
        "{message}"
    );
    let message = error([list("d"), delete("d")]);
    assert!(message.starts_with("d: List 7-0 uses it as a directory, and Delete 7-1 as a file"));
    let message = error([open("f", Open), open("f/g", Open)]);
    assert!(message.starts_with("f: Open 7-0 uses it as a file, and Open 7-1 as a directory"));
    // What the stream made as a file fails by itself when it is used as a directory.
    assert_eq!(of([open("f", Create), list("f"), open("f/g", Open)]), NOTHING);
    assert_eq!(of([mkdir("d"), open("d", Open), delete("d"), list("d")]), NOTHING);
}

#[test]
fn a_rename_into_itself_changes_nothing() {
    assert_eq!(of([rename("a", "a/b/c"), open("a/f", Open)]), ["a/", "a/b/", "a/f 0"]);
    assert_eq!(of([rename("f", "F"), stat("f"), stat("F")]), ["f 0"]);
    assert_eq!(of([rename("", "a")]), NOTHING);
    assert_eq!(of([rename("a", ""), stat("a")]), ["a 0"]);
}

#[test]
fn a_rename_that_does_not_replace_leaves_what_exists() {
    let (source_path, dest_path) = (path("t"), path("doc"));
    let kept = PathOperation::Rename { source_path, dest_path, replace: false };
    let found = of([stat("doc"), open("t", Create), kept.into(), stat("t"), delete("doc")]);
    assert_eq!(found, ["doc 0"]);
}

#[test]
fn the_number_of_paths_is_bounded_and_the_error_says_so() {
    let mut finder = PrerequisiteFinder::with_max_names(100);
    let failed = (0..200).find_map(|number| {
        let operation = Operation::new(0, number, stat(&format!("f{number}")));
        finder.operation(&operation).err()
    });
    assert_eq!(failed, Some(PrerequisiteError::TooManyNames(100)));
    assert_eq!(
        failed.unwrap().to_string(),
        "the stream needs more than 100 names to be remembered, which --prepare cannot keep in memory; prepare the share in another way, or split the stream"
    );
}

#[test]
fn files_that_the_stream_makes_and_removes_take_no_memory_for_long() {
    let mut finder = PrerequisiteFinder::with_max_names(10);
    let mut run = |kind| finder.operation(&Operation::new(0, 0, kind)).unwrap();
    run(mkdir("d"));
    for number in 0..200 {
        let file = format!("d/f{number}");
        run(open(&file, Create));
        run(write(0, 5));
        run(rename(&file, "d/doc"));
        run(stat("d/doc"));
        run(open("lock", Create));
        run(delete("lock"));
        run(close());
    }
    run(open("lock", Create));
    run(delete("lock"));
    for number in 0..200 {
        run(mkdir("tmp"));
        let inside = format!("tmp/e{number}");
        run(mkdir(&inside));
        run(open_as(&inside, Open, 1, Some(DIRECTORY)));
        run(rename(&inside, "tmp/e"));
        run(rmdir("tmp/e"));
        run(rmdir("tmp"));
        run(HandleOperation::Close.on(HandleRef(1)));
    }
    run(open("other", Open));
    run(read(0, 5));
    assert_eq!(listed(finder.finish().unwrap()), ["other 5"]);
}

#[test]
fn a_directory_that_is_removed_is_forgotten_only_when_nothing_refers_to_it() {
    // What was in a directory that was moved there, and what is open, keeps its place.
    let found = of([
        mkdir("d"),
        mkdir("d/e"),
        open("old/f", Open),
        rename("old", "d/e/old"),
        rename("d/e/old/f", "f"),
        rename("d/e/old", "other"),
        rmdir("d/e"),
        rmdir("d"),
        mkdir("new"),
        mkdir("new/e"),
        read(0, 5),
        open("f", Open),
        read(0, 9),
    ]);
    assert_eq!(found, ["old/", "old/f 9"]);
    // Nothing is in a directory that the stream made, so a removal there that may find nothing
    // needs nothing.
    let expect = Expect::Any;
    let removal = Operation { expect, ..Operation::new(0, 0, delete("d/e/f")) };
    let made = Operation::new(0, 0, mkdir("d"));
    let listing = Operation::new(0, 0, stat("d/e"));
    assert_eq!(listed(of_operations([made, removal, listing]).unwrap()), NOTHING);
}

#[test]
fn a_read_at_an_absurd_offset_is_refused_with_the_path() {
    let reads = [open("f", Open), read(u64::MAX - 10, 100)];
    let error = of_operations(reads.map(|kind| Operation::new(0, 0, kind))).unwrap_err();
    assert!(matches!(&error, PrerequisiteError::TooLarge { path, .. } if path == "f"), "{error}");
    let reads = [open("f", Open), read(0, MAX_TOTAL_BYTES)];
    assert!(of_operations(reads.map(|kind| Operation::new(0, 0, kind))).is_ok());
}

#[test]
fn many_separate_writes_cost_a_bounded_memory_and_never_lose_a_need() {
    let mut kinds = vec![open("f", Open)];
    kinds.extend((0..1_000).map(|number| write(number * 100, 50)));
    kinds.push(read(99_850, 50));
    let found = of_operations(kinds.into_iter().map(|kind| Operation::new(0, 0, kind)));
    assert_eq!(listed(found.unwrap()), ["f 99900"]);
}
