//! The scaling of phases to another length.

use super::source::Phase;

/// Maximum number of phases. More would be a mistake, and each costs a line in every report.
pub const MAX_PHASES: usize = 1_000;

/// The reason why phases cannot be scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhaseScalingError {
    #[error(
        "--duration scales the phases that are recorded, and none is: leave --duration away, or record a phase"
    )]
    NothingRecorded,
    #[error(
        "--duration {duration_ns}ns is too short for {phases} recorded phases: each lasts at least 1 ns"
    )]
    TooShort { duration_ns: u64, phases: usize },
}

/// Returns `phases` with the recorded ones scaled so that together they last
/// exactly `recorded_ns`. Where that makes them shorter, the unrecorded ones are
/// scaled by the same factor. A phase that took time still takes at least 1 ns.
///
/// Scripts and documents whose phases add up to more than a `u64` holds are refused before.
///
/// # Errors
/// [`PhaseScalingError`] if no recorded phase takes time, or if there are more of them than
/// nanoseconds.
pub fn scaled(phases: &[Phase], recorded_ns: u64) -> Result<Vec<Phase>, PhaseScalingError> {
    let recorded = || phases.iter().filter(|phase| phase.record && phase.duration_ns > 0);
    let total: u128 = recorded().map(|phase| u128::from(phase.duration_ns)).sum();
    let mut later = recorded().count();
    if later == 0 {
        return Err(PhaseScalingError::NothingRecorded);
    }
    if recorded_ns < later as u64 {
        return Err(PhaseScalingError::TooShort { duration_ns: recorded_ns, phases: later });
    }
    let shorter = u128::from(recorded_ns) < total;
    let scale = |ns: u128| ((ns * u128::from(recorded_ns) + total / 2) / total) as u64;
    // The ends are scaled and not the lengths, so that rounding errors do not add up.
    let (mut before, mut end_ns) = (0_u128, 0_u64);
    let length = |phase: &Phase| match (phase.duration_ns, phase.record) {
        (0, _) => 0,
        (duration_ns, true) => {
            later -= 1;
            before += u128::from(duration_ns);
            let start_ns = end_ns;
            end_ns = scale(before).clamp(start_ns + 1, recorded_ns - later as u64);
            end_ns - start_ns
        }
        (duration_ns, false) if shorter => scale(u128::from(duration_ns)).max(1),
        (duration_ns, false) => duration_ns,
    };
    let lengths: Vec<u64> = phases.iter().map(length).collect();
    let scaled = phases.iter().zip(lengths);
    Ok(scaled.map(|(phase, duration_ns)| Phase { duration_ns, ..phase.clone() }).collect())
}

/// Returns how long phases last together, in nanoseconds.
pub fn total_ns(phases: &[Phase]) -> u64 {
    phases.iter().map(|phase| phase.duration_ns).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(lengths: &[(u64, bool)]) -> Vec<Phase> {
        let phase =
            |(at, &(duration_ns, record))| Phase { name: format!("p{at}"), duration_ns, record };
        lengths.iter().enumerate().map(phase).collect()
    }

    fn lengths(declared: &[(u64, bool)], recorded_ns: u64) -> Result<Vec<u64>, PhaseScalingError> {
        let declared = phases(declared);
        let scaled = scaled(&declared, recorded_ns)?;
        for (scaled, declared) in scaled.iter().zip(&declared) {
            assert_eq!((&scaled.name, scaled.record), (&declared.name, declared.record));
        }
        Ok(scaled.iter().map(|phase| phase.duration_ns).collect())
    }

    #[test]
    fn recorded_phases_keep_their_proportions_and_unrecorded_ones_only_get_shorter() {
        let declared = [(5_000, false), (1_000, true), (3_000, true), (2_000, false)];
        assert_eq!(lengths(&declared, 400).unwrap(), [500, 100, 300, 200]);
        assert_eq!(lengths(&declared, 4_000).unwrap(), [5_000, 1_000, 3_000, 2_000]);
        assert_eq!(lengths(&declared, 8_000).unwrap(), [5_000, 2_000, 6_000, 2_000]);
    }

    #[test]
    fn a_phase_takes_time_where_it_did_and_none_where_it_did_not() {
        let declared = [(1, false), (1, true), (0, true), (1_000_000, true), (1, true), (0, false)];
        assert_eq!(lengths(&declared, 10).unwrap(), [1, 1, 0, 8, 1, 0]);
        assert_eq!(lengths(&declared, 3).unwrap(), [1, 1, 0, 1, 1, 0]);
    }

    #[test]
    fn phases_that_cannot_be_scaled_are_refused() {
        let nothing = Err(PhaseScalingError::NothingRecorded);
        assert_eq!(lengths(&[(5, false)], 10), nothing);
        assert_eq!(lengths(&[(5, false), (0, true)], 10), nothing);
        let too_short = PhaseScalingError::TooShort { duration_ns: 1, phases: 2 };
        assert_eq!(lengths(&[(5, true), (5, true)], 1), Err(too_short));
        let said = "--duration 1ns is too short for 2 recorded phases: each lasts at least 1 ns";
        assert_eq!(too_short.to_string(), said);
    }

    #[test]
    fn recorded_phases_add_up_to_the_nanosecond_whatever_their_lengths() {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 11
        };
        for _ in 0..2_000 {
            let count = 1 + random() % 20;
            let mut declared: Vec<(u64, bool)> =
                (0..count).map(|_| (random() >> (random() % 54), random() % 3 > 0)).collect();
            declared.push((1 + random(), true));
            let recorded_ns = 30 + (random() >> (random() % 54));
            let scaled = lengths(&declared, recorded_ns).unwrap();
            let all = || scaled.iter().zip(&declared);
            let recorded = all().filter(|(_, (_, record))| *record).map(|(ns, _)| ns);
            assert_eq!(recorded.sum::<u64>(), recorded_ns, "{declared:?}");
            assert!(all().all(|(ns, (was, _))| (*ns == 0) == (*was == 0)), "{declared:?}");
            assert!(all().all(|(ns, (was, record))| *record || ns <= was), "{declared:?}");
            let again: Vec<(u64, bool)> = all().map(|(ns, (_, record))| (*ns, *record)).collect();
            assert_eq!(lengths(&again, recorded_ns).unwrap(), scaled, "scaled once, it stays");
        }
        let longest = lengths(&[(u64::MAX - 7, true), (7, true)], u64::MAX).unwrap();
        assert_eq!(longest, [u64::MAX - 7, 7]);
    }
}
