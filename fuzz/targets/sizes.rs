//! Sizes: exact over 64 bits, read back as they are printed, and larger for a larger number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smbench::ir::units::{parse_duration_ns, parse_quantity, parse_size};
use smbench_fuzz::readable;

fuzz_target!(|text: &str| {
    let bytes = match parse_size(text) {
        Ok(bytes) => bytes,
        Err(error) => return drop(readable(error)),
    };
    if let Ok(number) = text.trim().parse::<u128>() {
        assert_eq!(u128::from(bytes), number, "a number of bytes");
    }
    assert_eq!(parse_size(&bytes.to_string()), Ok(bytes));
    let quantity = parse_quantity(text).map(|(quantity, _)| quantity);
    match parse_duration_ns(text) {
        Ok(ns) if ns != bytes => assert!(quantity.is_err(), "a size or a duration"),
        _ => assert_eq!(quantity, Ok(bytes)),
    }
    assert_eq!(parse_size(&format!(" {bytes} B\t")), Ok(bytes));
    assert_eq!(parse_size(&text.to_uppercase()), Ok(bytes), "case");
    if let Ok(more) = parse_size(&format!("1{}", text.trim_start())) {
        assert!(more > bytes, "{bytes} and {more} with a digit before it");
    }
});
