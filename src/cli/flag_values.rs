//! Values of flags, with errors that say how to write them.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::input_path::InputPath;
use super::nearby_files::advice;
use crate::ir::units::{parse_duration_ns, parse_size};
use crate::protocol::{NtStatus, nearest};
use crate::scheduler::RetryPolicy;
use crate::script::ReadyWorkload;

/// Parses the path of a script or document, or the name of a ready workload.
pub(super) fn input(text: &str) -> Result<InputPath, String> {
    const EXPECTED: &str =
        "expected a script (.lua, or @scripts/NAME) or a document (.json, .jsonl)";
    // A file below a directory of this name is written ./@scripts/…
    if let Some(name) = ReadyWorkload::named_by(text) {
        return ReadyWorkload::find(name).map(InputPath::from);
    }
    // A URL may hold a password, so it is not quoted.
    if text.contains("://") {
        return Err(format!("{EXPECTED}; a target is given with --target"));
    }
    let path = Path::new(text);
    InputPath::of(path).ok_or_else(|| format!("{EXPECTED}{}", advice(path)))
}

/// Parses `key=value`, whose value may hold further `=`.
pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_string(), value.to_string()))
        }
        _ => Err("expected name=value".into()),
    }
}

/// Returns the parser of a whole number in `range`.
pub(super) fn whole_number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number: u64| T::try_from(number).ok()).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            match *most < u64::from(u32::MAX) {
                true => format!("expected a whole number from {least} to {most}"),
                false => format!("expected a whole number of at least {least}, such as 1000000"),
            }
        })
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration_ns(text).map(Duration::from_nanos).map_err(|error| error.to_string())
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than 0".into()),
        duration => Ok(duration),
    }
}

pub(super) fn positive_size(text: &str) -> Result<u64, String> {
    match parse_size(text).map_err(|error| error.to_string())? {
        0 => Err("must be more than 0".into()),
        bytes => Ok(bytes),
    }
}

/// Parses names of statuses; without any, the default ones apply.
pub(super) fn retry(text: &str) -> Result<RetryPolicy, String> {
    if text.trim().is_empty() {
        return Ok(RetryPolicy::default());
    }
    let status = |name: &str| {
        let name = name.trim();
        let known = NtStatus::from_name(name).filter(|status| !status.is_success());
        known.ok_or_else(|| {
            let names = NtStatus::KNOWN.iter().filter_map(|status| status.name());
            let near = nearest(name, names).unwrap_or("STATUS_SHARING_VIOLATION");
            format!("'{name}' is not the NT status of a failure; did you mean {near}?")
        })
    };
    Ok(RetryPolicy { statuses: text.split(',').map(status).collect::<Result<_, _>>()? })
}

/// Parses a factor from 0.001 to 1000.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.001..=1_000.0).contains(&factor) => Ok(factor),
        _ => Err(
            "expected a number from 0.001 to 1000, such as 0.5 (twice as fast) or 2 (half speed)"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_without_statuses_means_those_of_a_server_that_did_not_begin() {
        assert_eq!(retry(""), Ok(RetryPolicy::default()));
        let named = retry("sharing_violation, STATUS_RETRY").unwrap();
        assert_eq!(named.statuses, [NtStatus::SHARING_VIOLATION, NtStatus::RETRY]);
        assert!(retry("STATUS_SUCCESS").is_err() && retry("NONSENSE").is_err());
        let message = retry("STATUS_SHARNG_VIOLATION").unwrap_err();
        assert!(message.ends_with("did you mean STATUS_SHARING_VIOLATION?"), "{message}");
    }

    #[test]
    fn a_number_that_is_not_whole_or_not_in_range_is_answered_with_what_is() {
        let number = whole_number::<u32>(1..=u64::from(u32::MAX));
        assert_eq!(number("1000000"), Ok(1_000_000));
        for bad in ["abc", "1e6", "0", "4294967296", "1.5", "", "1_000"] {
            let message = number(bad).unwrap_err();
            assert_eq!(message, "expected a whole number of at least 1, such as 1000000", "{bad}");
        }
        let message = whole_number::<u16>(1..=256)("257").unwrap_err();
        assert_eq!(message, "expected a whole number from 1 to 256");
        assert_eq!(whole_number::<u64>(0..=u64::MAX)("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn a_factor_is_a_number_that_makes_sense() {
        assert_eq!(factor("2"), Ok(2.0));
        for bad in ["0", "-1", "inf", "NaN", "1e9", "fast"] {
            assert!(factor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_parameters_value_may_hold_anything() {
        assert_eq!(parameter("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parameter("a="), Ok(("a".into(), "".into())));
        assert!(parameter("=b").is_err());
        assert!(parameter("a").is_err());
    }

    #[test]
    fn zero_is_refused_for_values_that_must_be_positive() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(positive_duration("0").is_err());
        assert_eq!(positive_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert!(positive_size("0").is_err());
        assert_eq!(positive_size("64MiB"), Ok(64 << 20));
    }
}
