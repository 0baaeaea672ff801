//! Documents of both versions: a document that was loaded and saved loads as the same operations,
//! and is saved again as the same bytes.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use smbench::ir::document::Format;
use smbench::ir::document::convert;
use smbench::ir::document::{LoadOptions, load};
use smbench::ir::{Operation, OperationKind, OperationSource, Progress, Section};
use smbench_fuzz::{folder, readable};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(folder);

fuzz_target!(|bytes: &[u8]| {
    let given = FOLDER.join(if bytes.contains(&b'\n') { "given.jsonl" } else { "given.json" });
    std::fs::write(&given, bytes).expect("the input");
    let operations = operations(&given);
    for (format, name) in [(Format::V1, "saved.json"), (Format::V2, "saved.jsonl")] {
        let mut saved = Vec::new();
        if let Err(error) = convert(&given, format, &mut saved) {
            readable(error);
            assert!(format == Format::V1 || operations.is_none(), "version 2 takes everything");
            continue;
        }
        let path = FOLDER.join(name);
        std::fs::write(&path, &saved).expect("what was saved");
        let mut again = Vec::new();
        convert(&path, format, &mut again).expect("what was saved is well formed");
        assert!(saved == again, "{}", String::from_utf8_lossy(&saved));
        if let Some(operations) = &operations {
            let loaded = self::operations(&path).expect("what was saved can be loaded");
            match format {
                Format::V2 => assert_eq!(&loaded, operations),
                // Version 1 has absolute times where version 2 has times after the previous
                // operation.
                Format::V1 => assert_eq!(kinds(&loaded), kinds(operations)),
            }
        }
    }
});

fn kinds(operations: &[Operation]) -> Vec<(u32, &OperationKind)> {
    operations.iter().map(|operation| (operation.client_idx, &operation.kind)).collect()
}

/// Returns all operations of a document; None if it is invalid.
fn operations(path: &Path) -> Option<Vec<Operation>> {
    let mut document = match load(path, &LoadOptions::default()) {
        Ok(document) => document,
        Err(error) => {
            readable(error);
            return None;
        }
    };
    document.warnings().iter().for_each(|warning| drop(readable(warning)));
    let mut operations = Vec::new();
    for client in 0..document.header().clients() {
        for section in [Section::Setup, Section::Iteration, Section::Teardown] {
            while document.pull(client, section, 7, &mut operations).expect("it was checked")
                == Progress::More
            {}
        }
    }
    assert_eq!(operations.len() as u64, document.operations());
    Some(operations)
}
