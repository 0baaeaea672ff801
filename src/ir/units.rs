//! Durations and sizes as people write them.

/// The reason why a string is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error(
        "{0:?} is not a duration: write a number and a unit, such as \"250ms\", \"1.5s\" or \"2m\" (ns, us, ms, s, m, h)"
    )]
    Duration(String),
    #[error(
        "{0:?} is not a size: write a number of bytes or a unit, such as \"4096\", \"64KiB\" or \"1.5MB\" (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)"
    )]
    Size(String),
}

const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Parses a duration and returns nanoseconds. A number without a unit is refused, except `0`.
///
/// # Errors
/// [`UnitError::Duration`] for a string that is no duration, is negative or is beyond 2^53 ns
/// (104 days).
pub fn parse_duration_ns(text: &str) -> Result<u64, UnitError> {
    let factor = |unit: &str| match unit {
        "ns" => Some(1.0),
        "us" | "µs" => Some(1e3),
        "ms" => Some(1e6),
        "s" => Some(1e9),
        "m" | "min" => Some(60e9),
        "h" => Some(3_600e9),
        _ => None,
    };
    if text.trim() == "0" {
        return Ok(0);
    }
    quantity(text, factor).ok_or_else(|| UnitError::Duration(text.chars().take(40).collect()))
}

/// Parses a size and returns bytes.
///
/// # Errors
/// [`UnitError::Size`] for a string that is no size, is negative or is beyond 2^53.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let factor = |unit: &str| match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1.0),
        "kb" => Some(1e3),
        "k" | "kib" => Some(1024.0),
        "mb" => Some(1e6),
        "m" | "mib" => Some(1024.0 * 1024.0),
        "gb" => Some(1e9),
        "g" | "gib" => Some(1024.0 * 1024.0 * 1024.0),
        "tb" => Some(1e12),
        "t" | "tib" => Some(1024.0 * 1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    quantity(text, factor).ok_or_else(|| UnitError::Size(text.chars().take(40).collect()))
}

fn quantity(text: &str, factor: impl Fn(&str) -> Option<f64>) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let value = (number * factor(text[digits..].trim_start())?).round();
    (value <= LARGEST_EXACT).then_some(value as u64)
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
        assert!(parse_size("lots").is_err());
        assert!(parse_size("-4").is_err());
    }
}
