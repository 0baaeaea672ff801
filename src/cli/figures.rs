//! Numbers and times as people read them.

use crate::observability::summary::Tail;

/// The most of a text from the script, the server or a file's name.
pub(super) const MAX_TEXT_CHARS: usize = 400;
pub(super) const MAX_NAME_CHARS: usize = 60;
pub(super) const MAX_PATH_CHARS: usize = 100;

/// A time with the unit that suits it.
pub(super) fn time(micros: f64) -> String {
    match micros {
        0.0 => "0 µs".into(),
        us if us < 1e3 => format!("{} µs", decimal(us)),
        us if us < 1e6 => format!("{} ms", decimal(us / 1e3)),
        us => format!("{} s", decimal(us / 1e6)),
    }
}

pub(super) fn tail(tail: &Tail) -> String {
    format!("p50 {}, p99 {}, max {}", time(tail.p50), time(tail.p99), time(tail.max))
}

/// The larger the number, the fewer decimals.
fn decimal(number: f64) -> String {
    match number {
        n if n < 10.0 => format!("{n:.2}"),
        n if n < 1_000.0 => format!("{n:.1}"),
        n => grouped(n.round() as u64),
    }
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
    }
}
