//! Trees of directories: what is read can be made on a share, and is the same after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smbench::ir::file_tree::FileTree;
use smbench_fuzz::{LARGEST_EXACT, readable};

fuzz_target!(|text: &[u8]| {
    let tree = match FileTree::parse(text) {
        Ok(tree) => tree,
        Err(problem) => return drop(readable(problem)),
    };
    for (index, directory) in tree.directories.iter().enumerate() {
        let parent = directory.parent.map(|parent| parent as usize);
        assert!(parent.map_or(index == 0, |parent| parent < index));
        assert!(directory.files.iter().all(|size| *size < LARGEST_EXACT));
        let names = directory.names.iter().flatten();
        assert!(names.clone().all(|name| !name.contains(['/', '\\']) && name != ".."));
        assert!(directory.names.is_none() || names.count() == directory.files.len());
    }
    let mut written = Vec::new();
    tree.write(&mut written).expect("a buffer takes everything");
    assert_eq!(FileTree::parse(&written), Ok(tree));
});
