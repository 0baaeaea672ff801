//! Tests that what is checked in is what the generators write.

use std::fs;

use smbench_definitions::{definitions, page, read_api, repository};

/// Compares a file with its generated text, after writing it if `SMBENCH_BLESS` is set.
fn checked_in(file: &str, text: &str) {
    let path = repository().join(file);
    if std::env::var_os("SMBENCH_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == text,
        "{file} is not what the annotations in stdlib/ make; make it anew with: \
         SMBENCH_BLESS=1 cargo test -p smbench-definitions"
    );
}

#[test]
fn the_definitions_for_luau_are_those_of_the_annotations() {
    checked_in("stdlib/bench.d.luau", &definitions(&read_api()));
}

#[test]
fn the_page_of_the_api_is_that_of_the_annotations() {
    checked_in("docs/lua-api.md", &page(&read_api()));
}
