//! The features that a stream may use, checked for each of its operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::backend::BackendCapabilities;
use crate::ir::{Feature, Need, Operation, SourceError};

/// The features that the operations of a stream may ask of the backend.
#[derive(Clone)]
pub struct FeatureGate {
    /// The backend's capabilities, limited to those of the mode.
    pub capabilities: Arc<BackendCapabilities>,
    /// The highest fidelity mode, if one was asked for.
    mode: Option<u8>,
    /// The features that the backend has beyond that mode.
    withheld: Vec<Feature>,
    /// Whether to go on without the features that are missing, and count that (`--degrade`).
    degrade: bool,
    /// The highest mode of the features that were asked for and are available.
    used: Arc<AtomicU8>,
}

impl FeatureGate {
    /// Allows everything that `backend` has, limited to the features of `mode` if there is one.
    pub fn new(backend: BackendCapabilities, mode: Option<u8>, degrade: bool) -> FeatureGate {
        let beyond = |feature: &Feature| mode.is_some_and(|mode| feature.mode() > mode);
        let withheld = backend.features.iter().copied().filter(beyond).collect();
        let capabilities = Arc::new(backend.up_to_mode(mode.unwrap_or(u8::MAX)));
        FeatureGate { capabilities, mode, withheld, degrade, used: Arc::default() }
    }

    /// Returns the fidelity mode of the run: the one asked for, limited to what the backend
    /// has; else the mode of what the stream has used so far.
    pub fn mode(&self) -> u8 {
        match self.mode {
            Some(mode) => mode.min(self.capabilities.mode()),
            None => self.used.load(Relaxed),
        }
    }

    /// Returns whether the feature may be asked for, or may be omitted. Records the use of the
    /// feature.
    fn permits(&self, feature: Feature) -> bool {
        let has = self.capabilities.has(feature);
        // Reading comes first, because all threads that make operations share the value.
        if has && feature.mode() > self.used.load(Relaxed) {
            self.used.fetch_max(feature.mode(), Relaxed);
        }
        has || (self.degrade && feature.mode() > 0)
    }

    /// Checks that every need is permitted.
    ///
    /// # Errors
    /// An error that says what is missing, which operation needs it, and what to do.
    pub fn check(&self, needs: &[Need]) -> Result<(), SourceError> {
        let refused: Vec<&Need> = needs.iter().filter(|need| !self.permits(need.feature)).collect();
        let Some(Need { feature, what, whose }) = refused.first() else {
            return Ok(());
        };
        let what = match feature.mode() {
            0 => what.to_string(),
            mode => format!("{what} (fidelity mode {mode})"),
        };
        let why = match self.mode {
            Some(mode) if self.withheld.contains(feature) => {
                let wanted = refused.iter().map(|need| need.feature.mode()).fold(0, u8::max);
                format!(
                    "which --mode {mode} excludes; use --mode {wanted}, or --degrade to go on without it"
                )
            }
            _ => {
                let advice = match feature.mode() {
                    0 => "another --target may have it",
                    _ => "--degrade goes on without it",
                };
                format!("which the {} backend does not have; {advice}", self.capabilities.name)
            }
        };
        Err(SourceError { message: format!("{whose} needs {what}, {why}"), client: None })
    }

    /// Checks that everything the operation needs is permitted.
    ///
    /// # Errors
    /// The errors of [`check`](Self::check).
    pub fn check_operation(&self, operation: &Operation) -> Result<(), SourceError> {
        let needed = Feature::needed_by(operation);
        if needed.iter().all(|feature| self.permits(*feature)) {
            return Ok(());
        }
        self.check(&Need::of(operation).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(features: &[Feature], mode: Option<u8>, degrade: bool) -> FeatureGate {
        let features = features.to_vec();
        FeatureGate::new(
            BackendCapabilities { name: "test", features, instant: false },
            mode,
            degrade,
        )
    }

    fn check(gate: &FeatureGate, features: &[Feature]) -> Result<(), String> {
        let need = |feature: &Feature| Need::stated(*feature, "operation 0-1");
        let needs: Vec<Need> = features.iter().map(need).collect();
        gate.check(&needs).map_err(|error| error.message)
    }

    const ALL: [Feature; 7] = [
        Feature::Locks,
        Feature::AccessMask,
        Feature::ShareMode,
        Feature::Disposition,
        Feature::CreateOptions,
        Feature::FileAttributes,
        Feature::Caching,
    ];

    #[test]
    fn a_feature_that_a_mode_lacks_is_reported_with_the_mode_that_has_all_features() {
        let none = gate(&ALL, Some(0), false);
        assert_eq!(check(&none, &[Feature::Locks]), Ok(()));
        let message = check(&none, &[Feature::Locks, Feature::ShareMode, Feature::Caching]);
        let expected = "operation 0-1 needs share_mode (fidelity mode 1), which --mode 0 excludes; use --mode 2, or --degrade to go on without it";
        assert_eq!(message.unwrap_err(), expected);
        // Another mode would not help, because the backend lacks the feature.
        let message = check(&gate(&[], Some(0), false), &[Feature::Caching]).unwrap_err();
        assert!(
            message.ends_with("which the test backend does not have; --degrade goes on without it")
        );
    }

    #[test]
    fn the_mode_of_a_run_is_the_one_asked_for_or_what_was_needed_and_could_be_had() {
        let auto = gate(&ALL, None, false);
        for (needs, mode) in [
            (vec![Feature::Locks], 0),
            (vec![Feature::Disposition], 1),
            (vec![Feature::Caching], 2),
            (vec![Feature::Disposition], 2),
        ] {
            check(&auto.clone(), &needs).unwrap();
            assert_eq!(auto.mode(), mode, "{needs:?}");
        }
        let degraded = gate(&ALL[..6], None, true);
        check(&degraded, &[Feature::Disposition, Feature::Caching]).unwrap();
        assert_eq!(degraded.mode(), 1, "a dropped feature is not used");
        assert_eq!(gate(&ALL, Some(1), false).mode(), 1);
        assert_eq!(gate(&ALL[..6], Some(2), true).mode(), 1, "no more than there is");
    }
}
