//! Durations: at most 2^53 ns, read back as they are printed, and larger for a larger number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smbench::ir::units::parse_duration_ns;
use smbench_fuzz::{LARGEST_EXACT, readable};

fuzz_target!(|text: &str| {
    let ns = match parse_duration_ns(text) {
        Ok(ns) => ns,
        Err(error) => return drop(readable(error)),
    };
    assert!(ns <= LARGEST_EXACT);
    assert!(ns == 0 || !text.trim().ends_with(|c: char| c.is_ascii_digit()), "a bare number");
    assert_eq!(parse_duration_ns(&format!("{ns}ns")), Ok(ns));
    assert_eq!(parse_duration_ns(&format!("\t{ns} ns ")), Ok(ns));
    if ns < LARGEST_EXACT / 1_000 {
        assert_eq!(parse_duration_ns(&format!("{ns}us")), Ok(ns * 1_000));
    }
    if let Ok(more) = parse_duration_ns(&format!("1{}", text.trim_start())) {
        assert!(more > ns, "{ns} and {more} with a digit before it");
    }
});
