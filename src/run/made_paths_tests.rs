//! Tests of what a run is known to have made.

use std::sync::Arc;

use super::made_paths::{Change, Leftover, MadePaths, NameChange};
use crate::ir::{
    CompletionEvent, CompletionStatus, Execution, Failure, HandleRef, OpenMode, OpenOperation,
    Operation, OperationKind, OperationTimes, PathOperation,
};
use crate::protocol::create::{CreateDisposition, FILE_DIRECTORY_FILE, OplockLevel};
use crate::protocol::{CreateAction, CreateParameters, FileId, Granted, NtStatus, SharePath};

fn path(path: &str) -> SharePath {
    SharePath::new(path).unwrap()
}

fn made(at: &str) -> Change {
    Change::Made { path: path(at), is_directory: false }
}

fn mkdir(at: &str) -> Change {
    Change::Made { path: path(at), is_directory: true }
}

fn maybe(at: &str) -> Change {
    Change::MaybeMade { path: path(at), is_directory: false }
}

fn removed(at: &str) -> Change {
    Change::Removed { path: path(at) }
}

fn renamed(from: &str, to: &str) -> Change {
    Change::Renamed { from: path(from), to: path(to), replace: false }
}

fn replaced(from: &str, to: &str) -> Change {
    Change::Renamed { from: path(from), to: path(to), replace: true }
}

fn maybe_renamed(from: &str, to: &str) -> Change {
    Change::MaybeRenamed { from: path(from), to: path(to) }
}

/// Returns what is left: a directory ends in a slash, and what must stay in a question mark.
fn left(made: &MadePaths) -> Vec<String> {
    let shown = |Leftover { path, is_directory, is_doubtful }: &Leftover| {
        let kind = if *is_directory { "/" } else { "" };
        format!("{path}{kind}{}", if *is_doubtful { "?" } else { "" })
    };
    made.leftovers().iter().map(shown).collect()
}

/// Applies changes one after the other.
fn after<const N: usize>(changes: [Change; N]) -> Vec<String> {
    let mut made = MadePaths::default();
    for (at, what) in changes.into_iter().enumerate() {
        let at_ns = at as u64 * 10;
        made.apply(NameChange { from_ns: at_ns, to_ns: at_ns + 5, what });
    }
    left(&made)
}

/// Applies changes with their times, in the order in which they ended.
fn overlapping<const N: usize>(mut changes: [(u64, u64, Change); N]) -> Vec<String> {
    changes.sort_by_key(|(_, to_ns, _)| *to_ns);
    let mut made = MadePaths::default();
    for (from_ns, to_ns, what) in changes {
        made.apply(NameChange { from_ns, to_ns, what });
    }
    left(&made)
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_was_made_is_left_until_it_is_removed() {
    assert_eq!(after([mkdir("d"), made("d/f"), made("g")]), ["d/", "d/f", "g"]);
    assert_eq!(after([made("f"), removed("f")]), NOTHING);
    assert_eq!(after([made("f"), removed("f"), made("f")]), ["f"]);
    assert_eq!(after([removed("f"), removed("d")]), NOTHING);
}

#[test]
fn what_was_made_keeps_that_when_it_is_renamed() {
    assert_eq!(after([made("f"), renamed("f", "g")]), ["g"]);
    assert_eq!(after([made("f"), renamed("f", "g"), removed("g")]), NOTHING);
    let tree = [mkdir("d"), mkdir("d/e"), made("d/e/f"), made("dx"), renamed("d", "n/m")];
    assert_eq!(after(tree), ["dx", "n/m/", "n/m/e/", "n/m/e/f"]);
    assert_eq!(after([made("f"), renamed("f", "F")]), ["F"]);
    assert_eq!(after([made("f"), replaced("f", "F")]), ["F"]);
}

#[test]
fn what_existed_before_is_never_taken_for_something_made() {
    // `old` existed: it takes the name of something that was made.
    assert_eq!(after([made("f"), removed("f"), renamed("old", "f")]), NOTHING);
    assert_eq!(after([made("f"), replaced("old", "f")]), NOTHING);
    assert_eq!(after([made("f"), renamed("f", "g"), renamed("old", "f")]), ["g"]);
    assert_eq!(after([renamed("old", "g"), made("old"), renamed("old", "x")]), ["x"]);
    // A directory that existed carries what was made in it, and nothing else.
    assert_eq!(after([made("old/f"), renamed("old", "new")]), ["new/f"]);
    // What existed and was moved into a directory that was made stays, and so does what takes its
    // name.
    assert_eq!(after([mkdir("d"), renamed("old", "d/f")]), ["d/"]);
    assert_eq!(after([mkdir("d"), renamed("old", "d/f"), renamed("d/f", "g")]), ["d/"]);
    let replaced_there = [mkdir("d"), renamed("old", "d/f"), made("t"), replaced("t", "d/f")];
    assert_eq!(after(replaced_there), ["d/", "d/f?"]);
}

#[test]
fn a_rename_that_may_have_replaced_a_file_leaves_it_unless_none_can_have_been_there() {
    assert_eq!(after([made("t"), replaced("t", "doc")]), ["doc?"]);
    assert_eq!(after([made("t"), renamed("t", "doc")]), ["doc"]);
    assert_eq!(after([made("doc"), made("t"), replaced("t", "doc")]), ["doc"]);
    assert_eq!(after([mkdir("d"), made("d/t"), replaced("d/t", "d/doc")]), ["d/", "d/doc"]);
    assert_eq!(
        after([mkdir("d"), mkdir("d/e"), made("t"), replaced("t", "d/e/doc")]).last().unwrap(),
        "d/e/doc"
    );
}

#[test]
fn an_operation_without_an_answer_leaves_doubt_except_in_a_directory_that_was_made() {
    assert_eq!(after([maybe("f")]), ["f?"]);
    assert_eq!(after([maybe("f"), removed("f")]), NOTHING);
    assert_eq!(after([made("f"), maybe("f")]), ["f"], "it is known already");
    assert_eq!(after([maybe("f"), made("f")]), ["f"], "it was not there, and then it was made");
    assert_eq!(after([mkdir("d"), maybe("d/f")]), ["d/", "d/f"]);
    assert_eq!(after([mkdir("d"), maybe("f"), renamed("f", "d/f")]), ["d/", "d/f?"]);
    assert_eq!(after([mkdir("d"), maybe("d/f"), renamed("d/f", "d/g")]), ["d/", "d/g"]);
    assert_eq!(after([made("f"), maybe_renamed("f", "g")]), ["f", "g?"]);
    assert_eq!(after([made("f"), maybe_renamed("old", "f")]), ["f?"]);
    assert_eq!(after([mkdir("d"), maybe_renamed("old", "d/f")]), ["d/", "d/f?"]);
    let directory = [mkdir("d"), made("d/f"), maybe_renamed("d", "e")];
    assert_eq!(after(directory), ["d/", "d/f", "e/?", "e/f?"]);
}

#[test]
fn creates_and_removals_that_overlap_leave_what_may_be_there_because_it_was_made() {
    // The removal may have come first, of a file that existed.
    assert_eq!(overlapping([(0, 10, made("f")), (5, 12, removed("f"))]), ["f"]);
    assert_eq!(overlapping([(0, 20, made("f")), (5, 12, removed("f"))]), ["f"]);
    assert_eq!(overlapping([(0, 10, made("f")), (10, 12, removed("f"))]), NOTHING);
}

#[test]
fn a_rename_that_overlaps_leaves_both_names_in_doubt_where_either_may_have_existed() {
    // `f` existed and was moved to `g` before it was made anew, or it was made and then moved.
    assert_eq!(overlapping([(0, 10, made("f")), (5, 12, renamed("f", "g"))]), ["f", "g?"]);
    assert_eq!(overlapping([(0, 20, made("f")), (5, 12, renamed("f", "g"))]), ["f?", "g?"]);
    // `f` was made, and then replaced by what existed before; the ends came in the other order.
    assert_eq!(overlapping([(0, 20, made("f")), (5, 12, replaced("old", "f"))]), ["f?"]);
    // Two renames of which one may have moved what existed to where the other took it from.
    let renames = [(0, 1, made("x")), (2, 6, replaced("old", "x")), (3, 5, renamed("x", "y"))];
    assert_eq!(overlapping(renames), ["y?"]);
    // A directory that is renamed while a file is made in it.
    let inside = [(0, 20, made("old/f")), (5, 12, renamed("old", "new"))];
    assert_eq!(overlapping(inside), ["new/f?", "old/f?"]);
    // Renames of other paths do not matter.
    assert_eq!(overlapping([(0, 20, made("f")), (5, 12, renamed("g", "h"))]), ["f"]);
    assert_eq!(overlapping([(0, 20, made("d/f")), (5, 12, renamed("d/g", "d/h"))]), ["d/f"]);
}

#[test]
fn what_a_slow_rename_may_have_put_at_a_name_is_in_doubt_wherever_it_was_moved_from_there() {
    // `old` may have replaced `m` before `m` was moved on.
    let chain = |slow| {
        overlapping([
            (0, 1, made("m")),
            (4, 20, slow),
            (5, 12, renamed("m", "a")),
            (13, 15, renamed("a", "b")),
        ])
    };
    assert_eq!(chain(replaced("old", "m")), ["b?"]);
    assert_eq!(chain(maybe_renamed("old", "m")), ["b?"]);
    assert_eq!(chain(replaced("old", "other")), ["b"]);
    // The same, with a rename that comes too late.
    let mut late = MadePaths::default();
    for (from_ns, to_ns, what) in
        [(0, 1, made("m")), (5, 12, renamed("m", "a")), (4, 10, replaced("old", "m"))]
    {
        late.apply(NameChange { from_ns, to_ns, what });
    }
    assert_eq!(left(&late), ["a?"]);
}

#[test]
fn in_a_directory_that_was_made_overlapping_renames_leave_no_doubt() {
    let saved = overlapping([
        (0, 1, mkdir("d")),
        (2, 3, made("d/a")),
        (2, 3, made("d/b")),
        (4, 10, replaced("d/a", "d/doc")),
        (5, 9, replaced("d/b", "d/doc")),
    ]);
    assert!(saved.contains(&"d/doc".to_string()), "{saved:?}");
    assert!(saved.iter().all(|name| !name.ends_with('?')), "{saved:?}");
}

#[test]
fn a_change_that_comes_too_late_leaves_doubt() {
    let late = |what| {
        let mut made = MadePaths::default();
        made.apply(NameChange { from_ns: 0, to_ns: 10, what: self::made("g") });
        made.apply(NameChange { from_ns: 100, to_ns: 110, what: mkdir("d") });
        made.apply(NameChange { from_ns: 40, to_ns: 50, what });
        left(&made)
    };
    assert_eq!(late(made("f")), ["d/", "f?", "g"]);
    assert_eq!(late(removed("g")), ["d/", "g"]);
    assert_eq!(late(renamed("g", "h")), ["d/", "g", "h?"]);
    assert_eq!(late(replaced("old", "g")), ["d/", "g?"]);
}

#[test]
fn another_spelling_is_never_taken_for_the_same_file() {
    assert_eq!(after([made("Doc"), removed("DOC")]), ["Doc"]);
    let moved = after([made("a"), renamed("A", "b")]);
    assert_eq!(moved, ["a", "b?"], "on some servers `A` is another file");
}

#[test]
fn the_number_of_paths_is_bounded_and_the_rest_is_counted() {
    let mut made = MadePaths::with_limits(3, 10);
    let apply = |made: &mut MadePaths, at_ns, what| {
        made.apply(NameChange { from_ns: at_ns, to_ns: at_ns + 1, what });
    };
    for (at, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        apply(&mut made, at as u64 * 10, mkdir(name));
    }
    assert_eq!((left(&made), made.untracked()), (vec!["a/".into(), "b/".into(), "c/".into()], 2));
    // What existed before may now be in `a`, and there is no room to remember that.
    apply(&mut made, 100, renamed("old", "a/f"));
    apply(&mut made, 110, removed("c"));
    apply(&mut made, 120, maybe("a/f"));
    assert_eq!(left(&made), ["a/", "a/f?", "b/"]);
}

#[test]
fn a_rename_that_is_no_longer_remembered_leaves_doubt_in_what_it_may_overlap() {
    let with_renames = |max_renames, changes: [(u64, u64, Change); 3]| {
        let mut made = MadePaths::with_limits(100, max_renames);
        made.apply(NameChange { from_ns: 0, to_ns: 1, what: self::made("a") });
        for (from_ns, to_ns, what) in changes {
            made.apply(NameChange { from_ns, to_ns, what });
        }
        left(&made)
    };
    // Each of the first two renames moves what existed before. One of them is remembered.
    let making = |from_ns| {
        [(5, 12, replaced("old", "f")), (6, 14, replaced("other", "g")), (from_ns, 20, made("f"))]
    };
    assert_eq!(with_renames(1, making(11)), ["a", "f?"], "a file of the user may be at `f`");
    assert_eq!(with_renames(1, making(12)), ["a", "f"], "the forgotten rename had ended");
    assert_eq!(with_renames(2, making(11)), ["a", "f?"], "the rename is remembered");
    // An unrelated name: only what is forgotten leaves doubt there.
    let unrelated =
        [(5, 12, replaced("old", "f")), (6, 14, replaced("other", "g")), (11, 20, made("h"))];
    assert_eq!(with_renames(1, unrelated.clone()), ["a", "h?"]);
    assert_eq!(with_renames(2, unrelated), ["a", "h"]);
    let unrelated = [
        (5, 12, replaced("old", "f")),
        (6, 14, replaced("other", "g")),
        (11, 20, renamed("a", "b")),
    ];
    assert_eq!(with_renames(1, unrelated.clone()), ["a?", "b?"]);
    assert_eq!(with_renames(2, unrelated), ["b"]);
    // `old` may have replaced `a` before the forgotten rename moved `a` to `x`.
    for slow in [replaced("old", "a"), maybe_renamed("old", "a")] {
        let moved_on = [(5, 12, renamed("a", "x")), (6, 14, replaced("other", "g")), (4, 20, slow)];
        assert_eq!(with_renames(1, moved_on), ["x?"]);
    }
}

#[test]
fn renames_that_were_lost_leave_doubt_in_all_that_was_made_before_they_ended() {
    let mut paths = MadePaths::default();
    let apply = |paths: &mut MadePaths, from_ns, to_ns, what| {
        paths.apply(NameChange { from_ns, to_ns, what });
    };
    apply(&mut paths, 0, 1, mkdir("d"));
    apply(&mut paths, 2, 3, made("d/f"));
    apply(&mut paths, 4, 5, maybe("d/g"));
    assert_eq!(left(&paths), ["d/", "d/f", "d/g"]);
    paths.lose_renames(20);
    assert_eq!(left(&paths), ["d/?", "d/f?", "d/g?"]);
    // What existed before may have been moved into a directory that the run made later, but before
    // the last lost rename had ended.
    apply(&mut paths, 19, 30, mkdir("e"));
    apply(&mut paths, 20, 31, mkdir("n"));
    apply(&mut paths, 32, 33, maybe("n/f"));
    apply(&mut paths, 34, 35, renamed("d/f", "n/g"));
    assert_eq!(left(&paths), ["d/?", "d/g?", "e/?", "n/", "n/f?", "n/g?"]);
    paths.count_untracked(3);
    assert_eq!(paths.untracked(), 3);
}

fn completion(kind: impl Into<OperationKind>, execution: Execution) -> Option<Change> {
    let operation = Operation::new(0, 0, kind);
    let times = OperationTimes { issued_ns: 3, completed_ns: 9, ..OperationTimes::default() };
    let change = NameChange::of(&CompletionEvent::new(operation, execution, times))?;
    assert_eq!((change.from_ns, change.to_ns), (3, 9));
    Some(change.what)
}

fn answered(status: NtStatus) -> Execution {
    Execution::of(CompletionStatus::Succeeded(status))
}

fn granted(action: CreateAction, status: CompletionStatus) -> Execution {
    let granted = Granted {
        file_id: FileId { persistent: 0, volatile: 0 },
        disk_file_id: None,
        action,
        oplock: OplockLevel::None,
        lease: None,
        durable: None,
    };
    Execution { granted: Some(Box::new(granted)), ..Execution::of(status) }
}

fn open(disposition: CreateDisposition, create_options: Option<u32>) -> OpenOperation {
    let parameters = CreateParameters { create_options, ..CreateParameters::default() };
    OpenOperation {
        path: path("f"),
        mode: OpenMode::Write,
        disposition,
        handle_ref: HandleRef(0),
        extensions: create_options.map(|_| Arc::new(parameters)),
    }
}

#[test]
fn an_open_made_a_file_only_if_the_create_action_says_so() {
    use CreateDisposition::{Create, Open, OpenIf, Supersede};
    let good = CompletionStatus::Succeeded(NtStatus::SUCCESS);
    let of = |disposition, execution| completion(open(disposition, None), execution);
    assert_eq!(of(OpenIf, granted(CreateAction::Created, good.clone())), Some(made("f")));
    for action in [CreateAction::Opened, CreateAction::Overwritten, CreateAction::Superseded] {
        assert_eq!(of(Supersede, granted(action, good.clone())), None);
    }
    let timed_out = CompletionStatus::Failed(Failure::TimedOut);
    assert_eq!(of(OpenIf, granted(CreateAction::Created, timed_out.clone())), Some(made("f")));
    assert_eq!(of(OpenIf, Execution::of(timed_out.clone())), Some(maybe("f")));
    assert_eq!(of(Open, Execution::of(timed_out)), None);
    assert_eq!(of(Create, Execution::of(CompletionStatus::Cut)), Some(maybe("f")));
    assert_eq!(of(OpenIf, answered(NtStatus::ACCESS_DENIED)), None);
    // A backend that does not know the action.
    assert_eq!(of(OpenIf, answered(NtStatus::SUCCESS)), Some(maybe("f")));
    assert_eq!(of(Create, answered(NtStatus::SUCCESS)), Some(made("f")));
    let directory = open(OpenIf, Some(FILE_DIRECTORY_FILE));
    assert_eq!(completion(directory, granted(CreateAction::Created, good)), Some(mkdir("f")));
}

#[test]
fn a_success_counts_even_if_the_stream_expected_a_failure() {
    let failed = Execution::failed(Failure::Status(NtStatus::SUCCESS));
    let mkdir_f = PathOperation::Mkdir { path: path("f") };
    assert_eq!(completion(mkdir_f.clone(), failed), Some(mkdir("f")));
    assert_eq!(completion(mkdir_f.clone(), answered(NtStatus::OBJECT_NAME_COLLISION)), None);
    let lost = Execution::failed(Failure::ConnectionLost("gone".into()));
    let maybe_directory = Change::MaybeMade { path: path("f"), is_directory: true };
    assert_eq!(completion(mkdir_f, lost.clone()), Some(maybe_directory));
    let delete = PathOperation::Delete { path: path("f") };
    assert_eq!(completion(delete.clone(), answered(NtStatus::SUCCESS)), Some(removed("f")));
    assert_eq!(completion(delete.clone(), lost.clone()), None);
    let (source_path, dest_path) = (path("f"), path("g"));
    let rename = PathOperation::Rename { source_path, dest_path, replace: true };
    assert_eq!(completion(rename.clone(), answered(NtStatus::SUCCESS)), Some(replaced("f", "g")));
    assert_eq!(completion(rename.clone(), lost), Some(maybe_renamed("f", "g")));
    assert_eq!(completion(rename, answered(NtStatus::OBJECT_NAME_COLLISION)), None);
    let skipped = Execution::of(CompletionStatus::Skipped { cause_seq: 0 });
    assert_eq!(completion(delete, skipped), None);
}

#[test]
fn what_may_have_come_by_another_path_of_a_directory_is_left() {
    // `alias` and `data` are one directory, which nobody says.
    let by_alias = [made("alias/new.txt"), made("alias/other.txt")];
    let [one, other] = by_alias.clone();
    let arrival = replaced("data/user.txt", "data/NEW.txt");
    assert_eq!(
        after([one.clone(), other.clone(), arrival.clone()]),
        ["alias/new.txt?", "alias/other.txt"]
    );
    // A name that was free afterwards cannot be that of the user's file.
    let again = [one.clone(), other, arrival, removed("alias/new.txt"), one];
    assert_eq!(after(again), ["alias/new.txt", "alias/other.txt"]);
    let inside = [
        mkdir("alias/tmp"),
        renamed("data/docs/p", "data/tmp/p"),
        replaced("alias/tmp/p", "alias/tmp/q"),
    ];
    let left = after(inside);
    assert!(!left.contains(&"alias/tmp/q".to_string()), "{left:?}");
}
