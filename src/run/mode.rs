//! `--mode`: the limit on the parts of SMB that a run may ask for.

use anyhow::bail;

use super::options::RunOptions;
use crate::backend::BackendCapabilities;
use crate::ir::feature::{Feature, Need};
use crate::scheduler::feature_gate::FeatureGate;

/// Returns whether the run will ask for oplocks or leases, which can be broken, as far as is known
/// before it starts.
pub fn caches(needs: &[Need], options: &RunOptions) -> bool {
    options.mode.is_none_or(|mode| mode >= Feature::Caching.mode())
        && needs.iter().any(|need| need.feature == Feature::Caching)
}

/// Returns the features that the stream of a run may ask of its backend.
///
/// # Errors
/// The backend does not have the mode, and `--degrade` is not set.
pub fn feature_gate(
    backend: BackendCapabilities,
    options: &RunOptions,
) -> anyhow::Result<FeatureGate> {
    if let Some(mode) = options.mode
        && mode > backend.mode()
        && !options.degrade
    {
        bail!(
            "--mode {mode}: the {} backend supports fidelity modes up to {}; choose such a mode, or continue with what the backend supports with --degrade",
            backend.name,
            backend.mode(),
        );
    }
    Ok(FeatureGate::new(backend, options.mode, options.degrade))
}
