//! Durations and sizes as people write them.

use std::time::Duration;

use crate::protocol::LARGEST_EXACT;

/// The reason why a string is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error(
        "{0:?} is not a duration: write a number and a unit, such as \"250ms\", \"1.5s\" or \"2m\" (ns, us, ms, s, m, h)"
    )]
    Duration(String),
    #[error(
        "{0:?} is not a size: write a whole number of bytes or a number and a unit, such as \"4096\", \"64KiB\" or \"1.5MB\" (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB), up to 2^64 - 1 bytes"
    )]
    Size(String),
    #[error(
        "{0:?} is neither a duration nor a size: write a number and a unit, such as \"5ms\" or \"64KiB\""
    )]
    Quantity(String),
    #[error(
        "{0:?} may be a duration or a size: write \"5min\" for minutes, and \"5MiB\" for mebibytes"
    )]
    Ambiguous(String),
}

/// The kind of a quantity that was written with a unit, or as a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityKind {
    /// A duration, in nanoseconds.
    Duration,
    /// A size, in bytes.
    Size,
}

impl QuantityKind {
    /// Returns the word for this kind.
    pub fn name(self) -> &'static str {
        match self {
            QuantityKind::Duration => "duration",
            QuantityKind::Size => "size",
        }
    }
}

/// Returns a duration in nanoseconds; one that is too long becomes the longest that fits.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Parses a duration and returns nanoseconds. A number without a unit is refused, except `0`.
///
/// # Errors
/// [`UnitError::Duration`] for a string that is no duration, is negative or is beyond 2^53 ns
/// (104 days).
pub fn parse_duration_ns(text: &str) -> Result<u64, UnitError> {
    let factor = |unit: &str| match unit {
        "ns" => Some(1),
        "us" | "µs" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" | "min" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    };
    if text.trim() == "0" {
        return Ok(0);
    }
    let quantity = quantity(text, factor).map(|(rounded, _)| rounded);
    quantity
        .filter(|ns| *ns <= LARGEST_EXACT)
        .ok_or_else(|| UnitError::Duration(text.chars().take(40).collect()))
}

/// Parses a size and returns bytes, exact over all 64 bits. A fraction of a unit (`1.3KiB`) is
/// rounded to whole bytes; a fraction of a byte is refused.
///
/// # Errors
/// [`UnitError::Size`] for a string that is no size, is negative or is beyond 2^64 - 1.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let factor = |unit: &str| match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1_000),
        "k" | "kib" => Some(1 << 10),
        "mb" => Some(1_000_000),
        "m" | "mib" => Some(1 << 20),
        "gb" => Some(1_000_000_000),
        "g" | "gib" => Some(1 << 30),
        "tb" => Some(1_000_000_000_000),
        "t" | "tib" => Some(1 << 40),
        _ => None,
    };
    quantity(text, factor)
        .filter(|(_, parts_a_unit_of_one)| !parts_a_unit_of_one)
        .map(|(rounded, _)| rounded)
        .ok_or_else(|| UnitError::Size(text.chars().take(40).collect()))
}

/// Parses a duration or a size, and returns nanoseconds or bytes. A number without a unit is a size.
///
/// # Errors
/// [`UnitError::Quantity`] for a string that is neither, and [`UnitError::Ambiguous`] for one that
/// can be both, such as `5m`.
pub fn parse_quantity(text: &str) -> Result<(u64, QuantityKind), UnitError> {
    let quoted = || text.chars().take(40).collect();
    match (parse_duration_ns(text), parse_size(text)) {
        (Ok(ns), Ok(bytes)) if ns != bytes => Err(UnitError::Ambiguous(quoted())),
        (_, Ok(bytes)) => Ok((bytes, QuantityKind::Size)),
        (Ok(ns), Err(_)) => Ok((ns, QuantityKind::Duration)),
        (Err(_), Err(_)) => Err(UnitError::Quantity(quoted())),
    }
}

/// Digits of a fraction that are looked at: further ones are less than a byte of
/// the largest unit.
const FRACTION_DIGITS: usize = 19;

/// Reads a decimal number and its unit, in whole numbers throughout. Returns the quantity, rounded,
/// and whether it has a fraction of the unit that quantities are counted in.
fn quantity(text: &str, factor: impl Fn(&str) -> Option<u64>) -> Option<(u64, bool)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = factor(unit.trim_start())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse().ok() };
    let whole: u64 = digits(whole)?;
    let parts_a_unit_of_one = factor == 1 && fraction.bytes().any(|digit| digit != b'0');
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let parts: u64 = digits(fraction)?;
    let scale = 10_u128.pow(fraction.len() as u32);
    let rest = (u128::from(parts) * u128::from(factor) + scale / 2) / scale;
    let rounded = u64::try_from(u128::from(whole) * u128::from(factor) + rest).ok()?;
    Some((rounded, parts_a_unit_of_one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration_ns("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse_duration_ns("250us"), Ok(250_000));
        assert_eq!(parse_duration_ns("0"), Ok(0));
        for bad in ["5", "", "s", "-1s", "1e3s", "1..2s", "1 parsec", "9999999h"] {
            assert!(parse_duration_ns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_take_decimal_and_binary_units() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("4096"), Ok(4_096));
        assert_eq!(parse_size("1.5 MB"), Ok(1_500_000));
        assert_eq!(parse_size("1.5MiB"), Ok(3 << 19));
        assert_eq!(parse_size("1TiB"), Ok(1 << 40));
        assert!(parse_size("lots").is_err());
        assert!(parse_size("-4").is_err());
    }

    #[test]
    fn sizes_are_exact_over_64_bits_and_never_rounded_to_another_byte() {
        assert_eq!(parse_size("9007199254740993"), Ok((1 << 53) + 1));
        assert_eq!(parse_size("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse_size("9007199254740993KiB"), Ok(((1 << 53) + 1) << 10));
        assert_eq!(parse_size("8388608.000000000001TiB"), Ok((1 << 63) + 1));
        assert_eq!(parse_size("0.3KiB"), Ok(307));
        for bad in [
            "18446744073709551616",
            "16777216TiB",
            "1.5",
            "1.00000000000000000001",
            "0.5B",
            ".",
            "1.2.3KB",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_size("4096.0"), Ok(4_096));
    }

    #[test]
    fn a_quantity_is_a_duration_or_a_size_and_never_both() {
        assert_eq!(parse_quantity("5ms"), Ok((5_000_000, QuantityKind::Duration)));
        assert_eq!(parse_quantity("5min"), Ok((300_000_000_000, QuantityKind::Duration)));
        assert_eq!(parse_quantity("64KiB"), Ok((65_536, QuantityKind::Size)));
        assert_eq!(parse_quantity("4096"), Ok((4_096, QuantityKind::Size)));
        assert_eq!(parse_quantity("0"), Ok((0, QuantityKind::Size)));
        assert_eq!(parse_quantity("5m"), Err(UnitError::Ambiguous("5m".into())));
        for bad in ["lots", "", "-5ms", "5 parsec", "1.5"] {
            assert_eq!(parse_quantity(bad), Err(UnitError::Quantity(bad.into())));
        }
    }

    #[test]
    fn a_duration_is_exact_or_refused() {
        assert_eq!(parse_duration_ns("9007199254740991ns"), Ok((1 << 53) - 1));
        assert_eq!(parse_duration_ns("9007199254740992ns"), Ok(1 << 53));
        assert!(parse_duration_ns("9007199254740993ns").is_err());
    }
}
