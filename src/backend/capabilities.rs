//! What a client stack can send and see, feature by feature.

use serde::Serialize;

use crate::ir::Feature;
use crate::protocol::CreateParameters;

/// What the client stack can do. What a server does not grant is data, not a
/// missing capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendCapabilities {
    pub name: &'static str,
    pub features: Vec<Feature>,
    /// Whether issuing an operation only ever costs this process CPU time, so
    /// that lateness is not weighed against service time (`sim:null`).
    pub instant: bool,
}

impl BackendCapabilities {
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// The same client stack, asked for no more than fidelity mode `mode` has.
    pub fn up_to_mode(mut self, mode: u8) -> BackendCapabilities {
        self.features.retain(|feature| feature.mode() <= mode);
        self
    }

    /// The highest fidelity mode of which every feature is there.
    pub fn mode(&self) -> u8 {
        let mode_1 = [
            Feature::AccessMask,
            Feature::ShareMode,
            Feature::Disposition,
            Feature::CreateOptions,
            Feature::FileAttributes,
        ];
        match mode_1.iter().all(|feature| self.has(*feature)) {
            true if self.has(Feature::Caching) => 2,
            true => 1,
            false => 0,
        }
    }

    /// The fidelity modes of which every feature is there: 0 up to [`mode`](Self::mode).
    pub fn fidelity_modes(&self) -> Vec<u8> {
        (0..=self.mode()).collect()
    }

    /// Returns what the client stack can ask of `wanted`; `--degrade` leaves out the rest.
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
