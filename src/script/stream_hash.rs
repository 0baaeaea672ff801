//! The name of an unbounded stream: a hash of everything that determines it.

use super::options::ScriptOptions;
use crate::ir::StreamHeader;

/// The version of the operations. It is raised whenever the same script would give others.
const IR_VERSION: u32 = 3;

/// Returns `recipe:` and a hash of the script, its modules, parameters, seed, numbers of clients,
/// bounds, the version of the operations, and the paths and hashes of the loaded documents. The
/// length given to the run is part of the hash if arrivals depend on it.
pub(super) fn stream_hash(
    script: &str,
    header: &StreamHeader,
    documents: &[(String, String)],
    options: &ScriptOptions,
    duration_ns: Option<u64>,
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
    if let Some(duration_ns) = duration_ns {
        part(b"duration");
        part(&duration_ns.to_le_bytes());
    }
    format!("recipe:{}", hasher.finalize().to_hex())
}
