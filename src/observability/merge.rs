//! Adding up what the shards of a run measured.

use std::collections::BTreeSet;

/// A measurement that each shard makes for itself, and that is added up over shards.
pub trait Merge {
    fn merge(&mut self, other: &Self);
}

/// Implements [`Merge`] for a struct: each field is merged by itself. A list that lacks a field
/// does not compile.
macro_rules! merge_fields {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::observability::merge::Merge for $type {
            fn merge(&mut self, other: &$type) {
                let $type { $($field),* } = other;
                $($crate::observability::merge::Merge::merge(&mut self.$field, $field);)*
            }
        }
    };
}
pub(super) use merge_fields;

impl Merge for u64 {
    fn merge(&mut self, other: &u64) {
        *self = self.saturating_add(*other);
    }
}

impl Merge for u128 {
    fn merge(&mut self, other: &u128) {
        *self += other;
    }
}

/// Becomes true if it is true of any shard.
impl Merge for bool {
    fn merge(&mut self, other: &bool) {
        *self |= other;
    }
}

impl<T: Merge, const N: usize> Merge for [T; N] {
    fn merge(&mut self, other: &[T; N]) {
        self.iter_mut().zip(other).for_each(|(mine, theirs)| mine.merge(theirs));
    }
}

/// Merges by index. Both must have the same length.
impl<T: Merge> Merge for Vec<T> {
    fn merge(&mut self, other: &Vec<T>) {
        self.iter_mut().zip(other).for_each(|(mine, theirs)| mine.merge(theirs));
    }
}

impl<T: Merge + Default> Merge for Option<Box<T>> {
    fn merge(&mut self, other: &Option<Box<T>>) {
        if let Some(other) = other {
            self.get_or_insert_default().merge(other);
        }
    }
}

impl Merge for BTreeSet<u32> {
    fn merge(&mut self, other: &BTreeSet<u32>) {
        self.extend(other);
    }
}

/// Returns whether a summary leaves a count out because it is zero.
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}
