//! Tests of documents through the library's public interface.

use std::path::{Path, PathBuf};

use smbench::ir::document::error::DocumentError;
use smbench::ir::document::{Document, LoadOptions, load};
use smbench::ir::{Operation, OperationSource, Progress, Section};

mod bad_documents;
mod compiling;
mod hostile;
mod random;
mod round_trips;

/// A temporary directory of one test.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Directory {
        Directory(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load_default(path: &Path) -> Result<Document, DocumentError> {
    load(path, &LoadOptions::default())
}

/// Returns all operations of a source, client by client, in batches of `batch`.
fn all_operations(source: &mut dyn OperationSource, batch: usize) -> Vec<Operation> {
    let mut all = Vec::new();
    for client in 0..source.header().clients() {
        for section in [Section::Setup, Section::Iteration, Section::Teardown] {
            while source.pull(client, section, batch, &mut all).unwrap() == Progress::More {}
        }
    }
    all
}
