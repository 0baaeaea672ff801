//! The features that a server supports, judged by the cases it passed.

use serde::Serialize;

use super::case_report::{CaseOutcome, CaseReport};

/// A feature that a workload may want of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FeatureSupport {
    /// The name of the feature, in words.
    pub what: &'static str,
    pub answer: SupportLevel,
    /// Number of its cases that were asked and passed.
    pub passed: usize,
    /// Number of its cases that were asked.
    pub asked: usize,
    /// Number of its cases that were to be asked when the probe ended.
    pub not_run: usize,
}

/// Whether the server supports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SupportLevel {
    /// All of its cases passed.
    Yes,
    /// Some of its cases passed.
    Partly,
    /// None of its cases passed.
    No,
    /// No case was run, or some that could still change the answer were not run.
    Unknown,
}

/// Makes the table of features. A row has the name of the feature, in words, and the area or the
/// cases that show whether a server supports it.
macro_rules! features {
    ($($what:literal: $($shown:literal),+;)+) => {
        const FEATURES: &[(&str, &[&str])] = &[$(($what, &[$($shown),+])),+];
    };
}

features! {
    "create, read, write": "data";
    "dispositions": "dispositions";
    "access rights": "access rights";
    "create options": "create options";
    "rename": "renaming";
    "delete": "deleting";
    "directories and patterns": "directories";
    "names in any case": "a_name_is_found_in_any_case",
        "a_directory_on_the_way_is_found_in_any_case", "letters_beyond_ascii_are_found_in_any_case";
    "names beyond ASCII": "names_beyond_ascii_are_kept";
    "names of 255 characters": "a_name_of_255_characters_is_taken",
        "a_name_of_255_characters_beyond_ascii_is_taken";
    "8 MiB in one operation": "eight_mib_go_in_one_operation",
        "more_than_eight_mib_go_in_one_operation";
    "200 open handles": "two_hundred_handles_are_open_on_one_connection";
    "share modes": "share modes";
    "byte-range locks": "an_exclusive_lock_refuses_any_other", "shared_locks_stand_together",
        "an_exclusive_lock_stops_the_others_reads_and_writes", "closing_releases_the_locks";
    "locks that wait": "a_waiting_lock_is_granted_on_unlock",
        "a_waiting_lock_is_granted_when_the_holder_closes",
        "a_waiting_lock_is_granted_when_the_holder_vanishes",
        "a_cancelled_wait_is_cancelled_and_leaves_no_lock";
    "oplock level II": "level_ii_is_granted";
    "exclusive oplock": "an_exclusive_oplock_is_granted";
    "batch oplock": "a_batch_oplock_is_granted";
    "oplock breaks": "oplock breaks";
    "lease R": "a_lease_of_r_is_granted";
    "lease RH": "a_lease_of_rh_is_granted";
    "lease RWH": "a_lease_of_rwh_is_granted";
    "leases of version 1": "a_lease_of_version_1_is_granted";
    "leases on directories": "a_directory_has_a_lease_of_rh_at_most";
    "lease breaks": "lease breaks";
    "durable handles": "a_durable_handle_of_version_1_is_granted_with_a_batch_oplock",
        "a_durable_handle_of_version_2_is_granted_with_a_batch_oplock",
        "a_durable_handle_of_version_2_is_granted_with_a_lease_of_rwh";
}

/// Returns what the server supports, in a reader's order.
pub fn support(cases: &[CaseReport]) -> Vec<FeatureSupport> {
    let row = |(what, shown): &(&'static str, &[&str])| {
        let mut support =
            FeatureSupport { what, answer: SupportLevel::Unknown, passed: 0, asked: 0, not_run: 0 };
        let shows = |case: &&CaseReport| shown.contains(&case.name) || shown.contains(&case.area);
        for case in cases.iter().filter(shows) {
            match case.outcome {
                CaseOutcome::Skipped => {}
                CaseOutcome::NotRun => support.not_run += 1,
                outcome => {
                    support.asked += 1;
                    support.passed += usize::from(outcome == CaseOutcome::Pass);
                }
            }
        }
        support.answer = match (support.passed, support.asked) {
            (_, 0) => SupportLevel::Unknown,
            (passed, asked) if 0 < passed && passed < asked => SupportLevel::Partly,
            _ if support.not_run > 0 => SupportLevel::Unknown,
            (0, _) => SupportLevel::No,
            _ => SupportLevel::Yes,
        };
        support
    };
    FEATURES.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::cases::{AREAS, all};

    #[test]
    fn everything_that_is_reported_rests_on_existing_cases() {
        for (what, shown) in FEATURES {
            for name in *shown {
                let is_area = AREAS.iter().any(|(area, _)| area == name);
                assert!(is_area || all().iter().any(|case| case.name == *name), "{what}: {name}");
            }
        }
    }
}
