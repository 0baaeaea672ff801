//! The name of an unbounded stream: a hash of everything that determines it.

use super::options::{Reload, ScriptOptions};
use crate::ir::StreamHeader;

/// The version of the operations. It is raised whenever the same script would give others.
const IR_VERSION: u32 = 3;

/// Returns `recipe:` and a hash of the script, its modules, parameters, seed, numbers of clients,
/// bounds, the version of the operations, and the paths and hashes of the loaded documents. The
/// number of a later generation is part of it, because random numbers depend on it. If the stream
/// has arrivals, so are the length given to the run and the time at which they begin.
pub(super) fn stream_hash(
    script: &str,
    header: &StreamHeader,
    documents: &[(String, String)],
    options: &ScriptOptions,
    has_arrivals: bool,
) -> String {
    let mut hasher = blake3::Hasher::new();
    // Each part is hashed with its length, so that no two lists of parts are the same bytes.
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(b"smbench recipe");
    part(&IR_VERSION.to_le_bytes());
    part(script.as_bytes());
    let mut modules: Vec<_> = header.modules.iter().collect();
    modules.sort_by(|a, b| a.name.cmp(&b.name));
    for module in modules {
        part(module.name.as_bytes());
        part(module.version.as_bytes());
        part(module.hash.as_bytes());
    }
    part(b"parameters");
    part(serde_json::Value::Object(header.params.clone()).to_string().as_bytes());
    part(&header.seed.to_le_bytes());
    for workload in &header.workloads {
        part(workload.name.as_bytes());
        part(&workload.clients.to_le_bytes());
    }
    part(format!("{:?} {:?}", options.iterations, options.nominal_bound_ns).as_bytes());
    for (path, hash) in documents {
        part(b"document");
        part(path.as_bytes());
        part(hash.as_bytes());
    }
    if let Some(duration_ns) = options.duration_ns.filter(|_| has_arrivals) {
        part(b"duration");
        part(&duration_ns.to_le_bytes());
    }
    if let Some(Reload { generation, begin_ns }) = options.reload {
        part(b"generation");
        part(&generation.to_le_bytes());
        if has_arrivals {
            part(&begin_ns.to_le_bytes());
        }
    }
    format!("recipe:{}", hasher.finalize().to_hex())
}
