//! Manifests, locks, listings, URLs of repositories and sources of libraries: what is read is the
//! same after it was written, no path leads elsewhere, and no message holds a password.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use smbench::library::api_docs::api_of;
use smbench::library::listing::{Listing, check_path};
use smbench::library::lock::Lock;
use smbench::library::manifest_edit::without_dependency;
use smbench::library::repository_url::{check_url, shown_url};
use smbench::project::manifest::Manifest;
use smbench_fuzz::readable;

const SECRET: &str = "hunter2";

fuzz_target!(|text: &str| {
    match Manifest::parse(text, "M") {
        Ok(manifest) => {
            for alias in manifest.dependencies.keys() {
                let without = without_dependency(text, "M", alias).expect("it was read before");
                let without = Manifest::parse(&without.expect("it has the alias"), "M");
                assert!(!without.expect("it is a manifest").dependencies.contains_key(alias));
            }
        }
        Err(problem) => drop(readable(problem)),
    }
    match Lock::parse(text, "L") {
        Ok(lock) => assert_eq!(Lock::parse(&lock.text(), "L").as_ref(), Ok(&lock)),
        Err(problem) => drop(readable(problem)),
    }
    match Listing::parse(text) {
        Ok(listing) => {
            assert_eq!(listing.text(), text);
            for path in listing.paths() {
                let mut parts = Path::new(path).components();
                assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{path:?}");
            }
        }
        Err(problem) => drop(readable(problem)),
    }
    if let Err(problem) = check_path(text) {
        readable(problem);
    }
    if let Err(problem) = check_url(text) {
        readable(problem);
    }
    if !text.contains(SECRET) {
        for with_password in [
            format!("https://ann:{SECRET}@{text}"),
            format!("https://ann:{SECRET}@host/{text}"),
            format!("ann:{SECRET}@host:{text}"),
        ] {
            let problem = check_url(&with_password).expect_err("it holds a password");
            assert!(!problem.contains(SECRET), "{problem}");
            assert!(!shown_url(&with_password).contains(SECRET), "{with_password:?}");
        }
    }
    let api = api_of([("@a", text)]);
    assert!(api.chars().all(|c| c == '\n' || !c.is_control()), "{api:?}");
});
