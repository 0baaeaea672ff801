//! `--mode`: how much of SMB a run may ask for.

use anyhow::bail;

use super::RunOptions;
use crate::backend::BackendCapabilities;
use crate::ir::feature::{Feature, Need};
use crate::scheduler::allowed::Allowed;

/// Whether there will be something that breaks take back.
pub fn caches(needs: &[Need], options: &RunOptions) -> bool {
    options.mode.is_none_or(|mode| mode >= Feature::Caching.mode())
        && needs.iter().any(|need| need.feature == Feature::Caching)
}

/// What the stream of a run may ask of its backend.
///
/// # Errors
/// A mode that the backend does not have.
pub fn allowed(backend: BackendCapabilities, options: &RunOptions) -> anyhow::Result<Allowed> {
    if let Some(mode) = options.mode
        && mode > backend.mode()
        && !options.degrade
    {
        bail!(
            "--mode {mode}: the {} backend goes no further than fidelity mode {}; ask for that, or let --degrade go on with what it has",
            backend.name,
            backend.mode(),
        );
    }
    Ok(Allowed::new(backend, options.mode, options.degrade))
}
