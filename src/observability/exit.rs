//! The reasons why a run did not end well, and the exit code that follows from them.

use serde::Serialize;

/// A reason why a run did not end well. The order of the variants is their precedence for the exit
/// code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// A fault of smbench itself.
    InternalError,
    /// Bad usage, or a script or document that is invalid or failed during the run.
    Invalid,
    /// Results could not be written: the disk was full, or `--out` was removed. The exit
    /// code is that of bad usage, as for a place that is refused before the run.
    ResultsNotKept,
    /// The target could not be reached, or denied access.
    Unreachable,
    /// A signal ended the run.
    Interrupted,
    /// A threshold does not hold.
    ThresholdsFailed,
    /// A hook ended the run with `bench.abort`.
    Aborted,
    /// Operations failed that were not expected to, or a client gave up reconnecting.
    OperationsFailed,
    /// A hook of the script raised an error.
    HooksFailed,
    /// The generator fell behind, so the figures are not the server's alone.
    GeneratorLimited,
    /// No operation was sent in a recorded phase, so there are no figures.
    NothingRecorded,
}

impl ExitReason {
    pub fn code(self) -> u8 {
        self.name_and_code().1
    }

    /// Returns the name used in the summary and on the terminal.
    pub fn name(self) -> &'static str {
        self.name_and_code().0
    }

    fn name_and_code(self) -> (&'static str, u8) {
        match self {
            ExitReason::InternalError => ("internal-error", 1),
            ExitReason::Invalid => ("invalid", 2),
            ExitReason::ResultsNotKept => ("results-not-kept", 2),
            ExitReason::Unreachable => ("unreachable", 3),
            ExitReason::Interrupted => ("interrupted", 130),
            ExitReason::ThresholdsFailed => ("thresholds-failed", 99),
            ExitReason::Aborted => ("aborted", 99),
            ExitReason::OperationsFailed => ("operations-failed", 4),
            ExitReason::HooksFailed => ("hooks-failed", 4),
            ExitReason::GeneratorLimited => ("generator-limited", 5),
            ExitReason::NothingRecorded => ("nothing-recorded", 5),
        }
    }
}

/// Returns the code of the first reason that applies, or 0 without any.
pub fn exit_code(reasons: &[ExitReason]) -> u8 {
    reasons.iter().min().map_or(0, |reason| reason.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_1_2_3_130_99_4_5_decides_whatever_the_order_of_reasons() {
        let mut reasons = vec![
            ExitReason::NothingRecorded,
            ExitReason::GeneratorLimited,
            ExitReason::HooksFailed,
            ExitReason::OperationsFailed,
            ExitReason::Aborted,
            ExitReason::ThresholdsFailed,
            ExitReason::Interrupted,
            ExitReason::Unreachable,
            ExitReason::ResultsNotKept,
            ExitReason::Invalid,
            ExitReason::InternalError,
        ];
        let mut codes = Vec::new();
        while !reasons.is_empty() {
            codes.push(exit_code(&reasons));
            reasons.rotate_left(1);
            assert_eq!(exit_code(&reasons), codes[codes.len() - 1]);
            reasons.rotate_right(1);
            reasons.pop();
        }
        assert_eq!(codes, [1, 2, 2, 3, 130, 99, 99, 4, 4, 5, 5]);
        assert_eq!(exit_code(&[]), 0);
    }

    #[test]
    fn a_reason_is_serialized_by_its_name() {
        for reason in
            [ExitReason::InternalError, ExitReason::OperationsFailed, ExitReason::HooksFailed]
        {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
