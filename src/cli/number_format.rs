//! Numbers and times in a form that is easy to read.

use crate::observability::rounding::{nonzero, rounded, value};
use crate::observability::summary::Tail;

/// Longest printed part of a string from the script or the server, of a name and of a path, in
/// characters.
pub(super) const MAX_TEXT_CHARS: usize = 400;
pub(super) const MAX_NAME_CHARS: usize = 60;
pub(super) const MAX_PATH_CHARS: usize = 100;

/// Returns a time with the unit that suits it.
pub(super) fn time(micros: f64) -> String {
    time_that(micros, |_| true)
}

/// Returns a time with the decimals that suit it, and with more if `keeps` does not accept the time
/// as shown, in microseconds.
pub(super) fn time_that(micros: f64, keeps: impl Fn(f64) -> bool) -> String {
    let (number, exponent, unit) = match micros {
        0.0 => return "0 µs".into(),
        us if us < 1e3 => (us, 0, "µs"),
        us if us < 1e6 => (us / 1e3, 3, "ms"),
        us => (us / 1e6, 6, "s"),
    };
    // Parsed as a decimal instead of multiplied, so that 9.9 ms equal the 9900 µs of a bound.
    let shown = |digits: &str| value(&format!("{digits}e{exponent}"));
    let digits =
        rounded(number, decimals(number), |digits| shown(digits) != 0.0 && keeps(shown(digits)));
    format!("{} {unit}", with_commas(&digits))
}

/// Returns a time with all of its digits.
pub(super) fn exact_time(micros: f64) -> String {
    time_that(micros, |shown| shown == micros)
}

/// Returns a number of seconds, shown as zero only if it is zero.
pub(super) fn seconds(seconds: f64) -> String {
    format!("{} s", nonzero(seconds, 1))
}

pub(super) fn tail(tail: &Tail) -> String {
    format!("p50 {}, p99 {}, max {}", time(tail.p50), time(tail.p99), time(tail.max))
}

/// Returns the number of decimals that suits a number: the larger the number, the fewer.
fn decimals(number: f64) -> usize {
    match number {
        n if n < 10.0 => 2,
        n if n < 1_000.0 => 1,
        _ => 0,
    }
}

/// Returns a number with its digits in groups of three: `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    with_commas(&number.to_string())
}

/// Groups the digits before the decimal point.
fn with_commas(digits: &str) -> String {
    let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number of bytes with the unit that suits it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return counted(bytes, "byte");
    }
    let power = (bytes.ilog2() / 10) as usize;
    let number = bytes as f64 / (1_u64 << (10 * power)) as f64;
    format!("{number:.1} {}", UNITS[power - 1])
}

pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), plural(count))
}

pub(super) fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.25, 71.4, 1_500.0, 2_500_000.0].map(time),
            ["0 µs", "0.25 µs", "71.4 µs", "1.50 ms", "2.50 s"]
        );
        assert_eq!([0.001, 1_234e6].map(time), ["0.001 µs", "1,234 s"]);
        assert_eq!(exact_time(1_234_567.0), "1.234567 s");
        assert_eq!(time_that(9_900.001, |shown| shown > 9_900.0), "9.900001 ms");
        assert_eq!(
            [1, 1023, 1024, 5004].map(size),
            ["1 byte", "1,023 bytes", "1.0 KiB", "4.9 KiB"]
        );
        assert_eq!([20 << 30, u64::MAX].map(size), ["20.0 GiB", "16.0 EiB"]);
        assert_eq!([0.0, 0.04, 2.0].map(seconds), ["0.0 s", "0.04 s", "2.0 s"]);
    }
}
