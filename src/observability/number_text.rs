//! Numbers and times in a form that is easy to read.

use super::rounding::{rounded, value};

/// Returns a time with the unit that suits it.
pub fn time(micros: f64) -> String {
    time_that(micros, |_| true)
}

/// Returns a time with the decimals that suit it, and with more if `keeps` does not accept the time
/// as shown, in microseconds.
pub fn time_that(micros: f64, keeps: impl Fn(f64) -> bool) -> String {
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

/// Returns the number of decimals that suits a number: the larger the number, the fewer.
fn decimals(number: f64) -> usize {
    match number {
        n if n < 10.0 => 2,
        n if n < 1_000.0 => 1,
        _ => 0,
    }
}

/// Returns a number with its digits in groups of three: `1,234,567`.
pub fn grouped(number: u64) -> String {
    with_commas(&number.to_string())
}

/// Groups the digits before the decimal point.
pub fn with_commas(digits: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(["1234.5", "0.25", "1e-7"].map(with_commas), ["1,234.5", "0.25", "1e-7"]);
        assert_eq!(
            [0.0, 0.25, 71.4, 1_500.0, 2_500_000.0].map(time),
            ["0 µs", "0.25 µs", "71.4 µs", "1.50 ms", "2.50 s"]
        );
        assert_eq!([0.001, 1_234e6].map(time), ["0.001 µs", "1,234 s"]);
        assert_eq!(time_that(9_900.001, |shown| shown > 9_900.0), "9.900001 ms");
    }
}
