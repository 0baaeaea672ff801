//! The fields of CREATE, contexts included: what is written reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use smbench::protocol::CreateParameters;
use smbench::protocol::create::Set;
use smbench_fuzz::readable;

fuzz_target!(|bytes: &[u8]| {
    let Ok(given) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return };
    let mut parameters = CreateParameters::default();
    for (key, value) in &given {
        let before = parameters.clone();
        match parameters.set(key, value.into()) {
            Ok(Set::Unknown { .. }) => assert_eq!(parameters, before),
            Ok(Set::Honoured) => assert!(!parameters.is_empty()),
            Err(error) => {
                readable(error);
                assert_eq!(parameters, before, "a field that is refused is not set");
            }
        }
    }
    let mut again = CreateParameters::default();
    for (key, value) in parameters.entries() {
        let set = again.set(key, (&value).into());
        assert!(matches!(set, Ok(Set::Honoured)), "{key} = {value}: {set:?}");
    }
    assert_eq!(again, parameters);
});
