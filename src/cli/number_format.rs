//! Numbers and times in a form that is easy to read.

pub(super) use crate::observability::number_text::{grouped, time, time_that};
use crate::observability::rounding::nonzero;
use crate::observability::summary::Tail;

/// Longest printed part of a string from the script or the server, of a name and of a path, in
/// characters.
pub(super) const MAX_TEXT_CHARS: usize = 400;
pub(super) const MAX_NAME_CHARS: usize = 60;
pub(super) const MAX_PATH_CHARS: usize = 100;

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
        assert_eq!(exact_time(1_234_567.0), "1.234567 s");
        assert_eq!(
            [1, 1023, 1024, 5004].map(size),
            ["1 byte", "1,023 bytes", "1.0 KiB", "4.9 KiB"]
        );
        assert_eq!([20 << 30, u64::MAX].map(size), ["20.0 GiB", "16.0 EiB"]);
        assert_eq!([0.0, 0.04, 2.0].map(seconds), ["0.0 s", "0.04 s", "2.0 s"]);
    }
}
