//! An order of paths in which a directory and everything in it are next to each other.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Returns the entries at the folded `path` and below it. `numbers` spans all numbers that
/// an entry may have.
pub(super) fn within<'a, N: Copy + Ord>(
    by_path: &'a BTreeSet<(Arc<str>, N)>,
    path: &Arc<str>,
    numbers: RangeInclusive<N>,
) -> impl Iterator<Item = &'a (Arc<str>, N)> {
    let (first, last) = numbers.into_inner();
    let itself = (path.clone(), first)..=(path.clone(), last);
    // '0' follows '/'.
    let inside = (format!("{path}/").into(), first)..(format!("{path}0").into(), first);
    by_path.range(itself).chain(by_path.range(inside))
}
