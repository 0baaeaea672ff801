//! Rounding that keeps what a number says true: what is not zero is not printed as zero.

/// The most decimals that are printed. A number that needs more is printed with an exponent.
const MOST_DECIMALS: usize = 17;

/// Returns `number` with `decimals` decimals, or with more if `keeps` does not accept the text. An
/// exponent is used if it accepts none.
pub fn rounded(number: f64, decimals: usize, keeps: impl Fn(&str) -> bool) -> String {
    let mut texts = (decimals..=MOST_DECIMALS).map(|decimals| format!("{number:.decimals$}"));
    texts.find(|text| keeps(text)).unwrap_or_else(|| format!("{number:e}"))
}

/// Returns `number` with at least `decimals` decimals. Only zero is printed as zero.
pub fn nonzero(number: f64, decimals: usize) -> String {
    rounded(number, decimals, |text| (value(text) == 0.0) == (number == 0.0))
}

/// Returns `part` of `whole` as a percentage with at least `decimals` decimals, as [`share`]
/// does.
pub fn percent(part: u128, whole: u128, decimals: usize) -> String {
    share(percentage(part, whole) / 100.0, decimals)
}

/// Returns a fraction as a percentage with at least `decimals` decimals. Only exactly 0 is printed
/// as 0 %, and only exactly 1 as 100 %.
pub fn share(fraction: f64, decimals: usize) -> String {
    rounded(100.0 * fraction, decimals, |text| {
        let shown = value(text);
        (shown == 0.0) == (fraction == 0.0) && (shown == 100.0) == (fraction == 1.0)
    }) + " %"
}

/// Returns `part` of `whole` as a percentage, with enough decimals that the printed number is above
/// `bound` percent exactly if the true one is.
pub fn percent_above(bound: f64, part: u128, whole: u128) -> String {
    let percent = percentage(part, whole);
    let is_above = |percent: f64| percent > bound;
    rounded(percent, 1, |text| {
        let shown = value(text);
        is_above(shown) == is_above(percent) && (shown == 0.0) == (percent == 0.0)
    }) + " %"
}

/// Returns the change from `before` to `after` in percent, with its sign. Only no change at all is
/// printed as 0 %. Returns None if `before` is zero.
pub fn change(before: f64, after: f64) -> Option<String> {
    if before == 0.0 {
        return None;
    }
    let percent = 100.0 * (after - before) / before;
    let decimals = if percent.abs() < 100.0 { 1 } else { 0 };
    let sign = if percent > 0.0 { "+" } else { "" };
    Some(format!("{sign}{} %", nonzero(percent, decimals)))
}

/// Returns the number that a text of this module stands for; `NaN` for any other text.
pub fn value(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

fn percentage(part: u128, whole: u128) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_with_enough_decimals_to_be_true() {
        assert_eq!(rounded(1.04, 1, |text| value(text) > 1.0), "1.04");
        assert_eq!(rounded(1.2, 1, |text| value(text) > 1.0), "1.2");
        assert_eq!([0.0, 0.04, 1.0].map(|number| nonzero(number, 1)), ["0.0", "0.04", "1.0"]);
        assert_eq!(nonzero(1e-30, 2), "1e-30");
    }

    #[test]
    fn some_is_not_none_and_nearly_all_is_not_all() {
        assert_eq!(percent(0, 1_000_000, 1), "0.0 %");
        assert_eq!(percent(1, 1_000_000, 1), "0.0001 %");
        assert_eq!(percent(999_999, 1_000_000, 1), "99.9999 %");
        assert_eq!(percent(1_000_000, 1_000_000, 1), "100.0 %");
        assert_eq!(percent(0, 0, 0), "0 %");
    }

    #[test]
    fn a_value_above_a_bound_is_printed_above_it() {
        assert_eq!(percent_above(1.0, 101, 10_000), "1.01 %");
        assert_eq!(percent_above(10.0, 10_000_001, 100_000_000), "10.000001 %");
        assert_eq!(percent_above(1.0, 1, 1), "100.0 %");
    }
}
