//! Tests of the tree as a server uses it.

use super::{CreateAction, MemoryLimits, MemoryTree, OpenNode, RequestedKind};
use crate::protocol::create::CreateDisposition::{
    self, Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede,
};
use crate::protocol::{NtStatus, SharePath};

fn tree() -> MemoryTree {
    MemoryTree::new(MemoryLimits::default())
}

fn path(path: &str) -> SharePath {
    SharePath::new(path).unwrap()
}

fn file(tree: &MemoryTree, name: &str) -> OpenNode {
    tree.open(&path(name), RequestedKind::File, OpenIf).unwrap().0
}

fn directory(tree: &MemoryTree, name: &str) -> OpenNode {
    tree.open(&path(name), RequestedKind::Directory, OpenIf).unwrap().0
}

fn open(tree: &MemoryTree, name: &str, how: CreateDisposition) -> Result<CreateAction, NtStatus> {
    tree.open(&path(name), RequestedKind::File, how).map(|(_, action)| action)
}

fn names(tree: &MemoryTree, directory: &str, pattern: &str) -> Vec<String> {
    let (node, _) = tree.open(&path(directory), RequestedKind::Directory, Open).unwrap();
    node.list(pattern).unwrap().into_iter().map(|info| info.name).collect()
}

#[test]
fn each_disposition_does_what_it_says_with_a_file_and_without() {
    for (disposition, existing, missing) in [
        (Supersede, Ok(CreateAction::Superseded), Ok(CreateAction::Created)),
        (Open, Ok(CreateAction::Opened), Err(NtStatus::OBJECT_NAME_NOT_FOUND)),
        (Create, Err(NtStatus::OBJECT_NAME_COLLISION), Ok(CreateAction::Created)),
        (OpenIf, Ok(CreateAction::Opened), Ok(CreateAction::Created)),
        (Overwrite, Ok(CreateAction::Overwritten), Err(NtStatus::OBJECT_NAME_NOT_FOUND)),
        (OverwriteIf, Ok(CreateAction::Overwritten), Ok(CreateAction::Created)),
    ] {
        let tree = tree();
        file(&tree, "there").write(0, b"old").unwrap();
        assert_eq!(open(&tree, "there", disposition), existing, "{disposition:?}");
        assert_eq!(open(&tree, "missing", disposition), missing, "{disposition:?}");
        let kept = !matches!(disposition, Supersede | Overwrite | OverwriteIf);
        let size = file(&tree, "there").info().size;
        assert_eq!(size, if kept { 3 } else { 0 }, "{disposition:?}");
    }
}

#[test]
fn a_missing_directory_and_a_file_on_the_way_are_path_not_found() {
    let tree = tree();
    file(&tree, "file");
    assert_eq!(open(&tree, "no/x", OpenIf), Err(NtStatus::OBJECT_PATH_NOT_FOUND));
    assert_eq!(open(&tree, "file/x", OpenIf), Err(NtStatus::OBJECT_PATH_NOT_FOUND));
    assert_eq!(open(&tree, "x", Open), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn an_open_that_demands_a_kind_refuses_the_other() {
    let tree = tree();
    file(&tree, "file");
    directory(&tree, "directory");
    assert_eq!(open(&tree, "directory", Open), Err(NtStatus::FILE_IS_A_DIRECTORY));
    let demand = |name, disposition| {
        tree.open(&path(name), RequestedKind::Directory, disposition).map(|(_, action)| action)
    };
    assert_eq!(demand("file", Open), Err(NtStatus::NOT_A_DIRECTORY));
    assert_eq!(demand("file", Create), Err(NtStatus::OBJECT_NAME_COLLISION));
    assert_eq!(demand("directory", OverwriteIf), Err(NtStatus::INVALID_PARAMETER));
    let any =
        tree.open(&path("directory"), RequestedKind::Any, OverwriteIf).map(|(_, action)| action);
    assert_eq!(any, Err(NtStatus::ACCESS_DENIED));
    assert!(tree.open(&path(""), RequestedKind::Any, Open).unwrap().0.is_directory());
}

#[test]
fn names_keep_their_case_and_are_found_in_any() {
    let tree = tree();
    file(&tree, "Ünïcode.TXT");
    assert_eq!(open(&tree, "üNÏCODE.txt", Create), Err(NtStatus::OBJECT_NAME_COLLISION));
    assert_eq!(names(&tree, "", "*"), ["Ünïcode.TXT"]);
    tree.rename(&path("ünïcode.txt"), &path("ünïcode.txt"), false).unwrap();
    assert_eq!(names(&tree, "", "*"), ["ünïcode.txt"]);
}

#[test]
fn a_listing_is_ordered_filtered_and_has_sizes() {
    let tree = tree();
    for name in ["b.txt", "A.txt", "c.bin"] {
        file(&tree, name).write(0, name.as_bytes()).unwrap();
    }
    directory(&tree, "dir");
    assert_eq!(names(&tree, "", "*"), ["A.txt", "b.txt", "c.bin", "dir"]);
    assert_eq!(names(&tree, "", "*.TXT"), ["A.txt", "b.txt"]);
    assert!(names(&tree, "", "nothing*").is_empty());
    let infos = directory(&tree, "").list("c*").unwrap();
    assert_eq!((infos[0].size, infos[0].is_directory), (5, false));
    assert_eq!(file(&tree, "a.txt").list("*"), Err(NtStatus::INVALID_PARAMETER));
}

#[test]
fn a_rename_takes_what_is_below_along_and_keeps_ids_and_opens() {
    let tree = tree();
    directory(&tree, "a");
    directory(&tree, "a/deep");
    let id = file(&tree, "a/deep/x").id();
    directory(&tree, "b");
    tree.rename(&path("a"), &path("b/c"), false).unwrap();
    assert_eq!(open(&tree, "a/deep/x", Open), Err(NtStatus::OBJECT_PATH_NOT_FOUND));
    let held = file(&tree, "b/c/deep/x");
    assert_eq!(held.id(), id);
    tree.rename(&path("b/c/deep/x"), &path("y"), false).unwrap();
    held.write(0, b"still mine").unwrap();
    assert_eq!(held.info().name, "y");
    assert_eq!(file(&tree, "y").info().size, 10);
}

#[test]
fn a_rename_replaces_a_closed_file_only_when_asked_and_never_a_directory() {
    let tree = tree();
    file(&tree, "new").write(0, b"new").unwrap();
    file(&tree, "old");
    directory(&tree, "directory");
    let rename = |to, replace| tree.rename(&path("new"), &path(to), replace);
    assert_eq!(rename("old", false), Err(NtStatus::OBJECT_NAME_COLLISION));
    let held = file(&tree, "old");
    assert_eq!(rename("old", true), Err(NtStatus::ACCESS_DENIED));
    drop(held);
    assert_eq!(rename("directory", false), Err(NtStatus::OBJECT_NAME_COLLISION));
    assert_eq!(rename("directory", true), Err(NtStatus::ACCESS_DENIED));
    assert_eq!(rename("none/x", true), Err(NtStatus::OBJECT_PATH_NOT_FOUND));
    rename("old", true).unwrap();
    assert_eq!(names(&tree, "", "*"), ["directory", "old"]);
    assert_eq!(file(&tree, "old").info().size, 3);
    let missing = tree.rename(&path("new"), &path("x"), true);
    assert_eq!(missing, Err(NtStatus::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn a_directory_cannot_move_into_itself_or_from_under_an_open_file() {
    let tree = tree();
    directory(&tree, "a");
    directory(&tree, "a/b");
    let into_itself = tree.rename(&path("a"), &path("a/b/c"), false);
    assert_eq!(into_itself, Err(NtStatus::ACCESS_DENIED));
    assert_eq!(tree.rename(&path(""), &path("x"), false), Err(NtStatus::ACCESS_DENIED));
    let held = file(&tree, "a/b/f");
    assert_eq!(tree.rename(&path("a"), &path("z"), false), Err(NtStatus::ACCESS_DENIED));
    drop(held);
    tree.rename(&path("a"), &path("z"), false).unwrap();
}

#[test]
fn a_directory_goes_only_when_empty_and_the_root_never() {
    let tree = tree();
    directory(&tree, "d");
    file(&tree, "d/f");
    let rmdir = |name| tree.delete(&path(name), RequestedKind::Directory);
    assert_eq!(rmdir("d"), Err(NtStatus::DIRECTORY_NOT_EMPTY));
    assert_eq!(rmdir("d/f"), Err(NtStatus::NOT_A_DIRECTORY));
    assert_eq!(tree.delete(&path("d"), RequestedKind::File), Err(NtStatus::FILE_IS_A_DIRECTORY));
    tree.delete(&path("d/f"), RequestedKind::File).unwrap();
    rmdir("d").unwrap();
    assert_eq!(rmdir("d"), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    assert_eq!(rmdir(""), Err(NtStatus::CANNOT_DELETE));
}

#[test]
fn a_deleted_file_that_is_open_keeps_its_name_until_the_last_close() {
    let tree = tree();
    let (first, second) = (file(&tree, "f"), file(&tree, "f"));
    first.write(0, b"data").unwrap();
    tree.delete(&path("F"), RequestedKind::File).unwrap();
    assert_eq!(open(&tree, "f", OpenIf), Err(NtStatus::DELETE_PENDING));
    assert_eq!(tree.rename(&path("f"), &path("g"), true), Err(NtStatus::DELETE_PENDING));
    assert_eq!(names(&tree, "", "*"), ["f"]);
    drop(first);
    assert_eq!(&second.read(0, 9).unwrap()[..], b"data");
    drop(second);
    assert_eq!(open(&tree, "f", Create), Ok(CreateAction::Created));
}

#[test]
fn nothing_can_be_made_in_a_directory_that_is_going() {
    let tree = tree();
    let held = directory(&tree, "d");
    held.delete().unwrap();
    assert_eq!(open(&tree, "d/x", OpenIf), Err(NtStatus::DELETE_PENDING));
    drop(held);
    assert_eq!(open(&tree, "d/x", OpenIf), Err(NtStatus::OBJECT_PATH_NOT_FOUND));
}

#[test]
fn the_limits_are_disk_full_and_what_is_deleted_is_free_again() {
    let tree = MemoryTree::new(MemoryLimits { bytes: 8 << 10, nodes: 2 });
    let f = file(&tree, "f");
    f.write(0, &[1; 8 << 10]).unwrap();
    file(&tree, "g");
    assert_eq!(open(&tree, "h", OpenIf), Err(NtStatus::DISK_FULL));
    assert_eq!(file(&tree, "g").write(0, b"x"), Err(NtStatus::DISK_FULL));
    tree.delete(&path("f"), RequestedKind::File).unwrap();
    assert_eq!(tree.space(), (8 << 10, 8 << 10));
    drop(f);
    assert_eq!(tree.space(), (8 << 10, 0));
    assert_eq!(open(&tree, "h", OpenIf), Ok(CreateAction::Created));
}

#[test]
fn many_threads_on_one_tree_leave_it_whole() {
    let tree = tree();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let tree = &tree;
            scope.spawn(move || {
                for i in 0..200 {
                    let (from, to) = (format!("t{thread}-{i}"), format!("u{thread}-{i}"));
                    file(tree, &from).write(0, &[thread; 100]).unwrap();
                    file(tree, "shared").write(u64::from(thread) * 8, &[thread; 8]).unwrap();
                    tree.rename(&path(&from), &path(&to), false).unwrap();
                    tree.delete(&path(&to), RequestedKind::File).unwrap();
                }
            });
        }
    });
    assert_eq!(names(&tree, "", "*"), ["shared"]);
    let expected: Vec<u8> = (0..4u8).flat_map(|thread| [thread; 8]).collect();
    assert_eq!(&file(&tree, "shared").read(0, 64).unwrap()[..], expected);
}
