//! A check of the order in which a script's transforms leave operations of two clients.

use super::options::ScriptOptions;
use super::shared_state_check::CheckError;
use super::source::Script;
use crate::transform::{ReversedPairs, reversed_pairs};

/// Finds the operations of two clients that the script's transforms put into another order. It reads
/// the script's documents to their end.
///
/// # Errors
/// [`CheckError`] if the script cannot be loaded, or its streams break off.
pub fn check_order(options: &ScriptOptions) -> Result<ReversedPairs, CheckError> {
    let script = Script::load(&ScriptOptions { quiet: true, ..options.clone() })?;
    let pairs = script.stream().map(reversed_pairs).transpose()?;
    Ok(pairs.unwrap_or_default())
}
