//! The capabilities of a client stack, feature by feature.

use serde::Serialize;

use crate::ir::Feature;
use crate::protocol::CreateParameters;

/// The features that a client stack supports. A right that the server refuses is a result of the
/// run, not a missing capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendCapabilities {
    pub name: &'static str,
    pub features: Vec<Feature>,
    /// Whether issuing an operation costs this process CPU time and nothing else, so that lateness
    /// is not compared with service time (`sim:null`).
    pub instant: bool,
}

impl BackendCapabilities {
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Returns the capabilities without the features above fidelity mode `mode`.
    pub fn up_to_mode(mut self, mode: u8) -> BackendCapabilities {
        self.features.retain(|feature| feature.mode() <= mode);
        self
    }

    /// Returns the highest fidelity mode whose features are all supported.
    pub fn mode(&self) -> u8 {
        let supported = |mode: &u8| Feature::ALL.iter().all(|f| f.mode() != *mode || self.has(*f));
        (1..=2).take_while(supported).last().unwrap_or(0)
    }

    /// Returns the fidelity modes that are supported in full: 0 up to [`mode`](Self::mode).
    pub fn fidelity_modes(&self) -> Vec<u8> {
        (0..=self.mode()).collect()
    }

    /// Returns the part of `wanted` that the client stack supports. `--degrade` drops the rest.
    pub(super) fn keep_supported(&self, wanted: &CreateParameters) -> CreateParameters {
        let caching = self.has(Feature::Caching);
        CreateParameters {
            access_mask: wanted.access_mask.filter(|_| self.has(Feature::AccessMask)),
            share_mode: wanted.share_mode.filter(|_| self.has(Feature::ShareMode)),
            disposition: wanted.disposition.filter(|_| self.has(Feature::Disposition)),
            create_options: wanted.create_options.filter(|_| self.has(Feature::CreateOptions)),
            file_attributes: wanted.file_attributes.filter(|_| self.has(Feature::FileAttributes)),
            requested_oplock: wanted.requested_oplock.filter(|_| caching),
            lease: wanted.lease.filter(|_| caching),
            durable: wanted.durable.filter(|_| caching),
            on_break: wanted.on_break,
            reopen: wanted.reopen,
            create_contexts: if caching { wanted.create_contexts.clone() } else { Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_the_highest_of_which_every_feature_is_there() {
        use Feature::{AccessMask, Caching, CreateOptions, Disposition, FileAttributes, ShareMode};
        let mode = |features: &[Feature]| {
            BackendCapabilities { name: "test", features: features.into(), instant: false }.mode()
        };
        let mode_1 = [AccessMask, ShareMode, Disposition, CreateOptions, FileAttributes];
        assert_eq!((mode(&[]), mode(&mode_1[1..]), mode(&mode_1)), (0, 0, 1));
        let mode_2 = [&mode_1[..], &[Caching]].concat();
        assert_eq!((mode(&mode_2), mode(&[Caching])), (2, 0));
        for limit in 0..=2 {
            let features = mode_2.clone();
            let all = BackendCapabilities { name: "test", features, instant: false };
            assert_eq!(all.up_to_mode(limit).mode(), limit);
        }
    }
}
