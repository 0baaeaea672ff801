//! `--target`: a target that is printed parses as the same target, and no message holds a password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smbench::backend::registry::Target;
use smbench_fuzz::readable;

const SECRET: &str = "hunter2";

fuzz_target!(|text: &str| {
    match Target::parse(text) {
        Ok(target) => {
            let shown = target.to_string();
            assert_eq!(Target::parse(&shown).as_ref(), Ok(&target), "{shown:?}");
            if let Target::Sim(description) = &target {
                let settings = description.settings(1);
                assert_eq!(settings.seed, 1);
            }
        }
        Err(error) => drop(readable(error)),
    }
    if !text.contains(SECRET) {
        for with_password in [
            format!("smb://ann:{SECRET}@{text}"),
            format!("smb://ann:{SECRET}{text}@nas/data"),
            format!("ann:{SECRET}@{text}"),
        ] {
            let error = Target::parse(&with_password).expect_err("it holds a password");
            assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
        }
    }
});
