//! The name of an unbounded stream: the hash of everything it follows from.

use super::ScriptOptions;
use crate::ir::StreamHeader;

/// Raised whenever the same script would give other operations.
const IR_VERSION: u32 = 3;

/// `recipe:` and the hash of script, modules, parameters, seed, numbers of
/// clients, bounds and the version of the operations; and, where arrivals
/// follow it, of the length the run was given.
pub(super) fn recipe(
    script: &str,
    header: &StreamHeader,
    options: &ScriptOptions,
    duration_ns: Option<u64>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    // Each part with its length, so that no two lists of parts are the same bytes.
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
    if let Some(duration_ns) = duration_ns {
        part(b"duration");
        part(&duration_ns.to_le_bytes());
    }
    format!("recipe:{}", hasher.finalize().to_hex())
}
