//! The create contexts that an open may ask for (MS-SMB2 2.2.13.2): a lease, a durable handle, or
//! raw contexts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::create_names::LEASE_STATE;
use super::parameter_value::{CreateError, ParameterValue, flags, nanoseconds, only};

/// SMB2_CREATE_REQUEST_LEASE and _V2, MS-SMB2 2.2.13.2.8 and 2.2.13.2.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// LeaseState.
    pub state: u32,
    /// The lease key; None derives it from client and path.
    pub key: Option<[u8; 16]>,
    /// The key of the parent directory's lease, in version 2 only.
    pub parent_key: Option<[u8; 16]>,
    /// The version of the context: 1 or 2.
    pub version: u8,
}

/// SMB2_CREATE_DURABLE_HANDLE_REQUEST and _V2, MS-SMB2 2.2.13.2.3 and 2.2.13.2.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// The version of the context: 1 or 2.
    pub version: u8,
    /// The time in milliseconds for which the server is asked to keep the handle; 0 leaves it to
    /// the server, as version 1 always does.
    pub timeout_ms: u32,
}

/// SMB2_CREATE_CONTEXT, MS-SMB2 2.2.13.2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateContext {
    pub name: Vec<u8>,
    pub data: Vec<u8>,
}

/// The most contexts, and the most bytes of a name or of data, in a sensible CREATE request.
const MAX_CONTEXTS: usize = 64;
const MAX_CONTEXT_BYTES: usize = 64 << 10;

impl Lease {
    /// Parses `"RWH"`, a state by its names or number, or a table of state, key, parent_key and
    /// version.
    pub(super) fn parse(value: ParameterValue<'_>) -> Result<Lease, CreateError> {
        const KEY: &str = "lease";
        let wants = |wanted| CreateError::Wants { key: KEY, wanted };
        let mut lease = Lease { state: 0, key: None, parent_key: None, version: 2 };
        let ParameterValue::Structure(structure) = value else {
            lease.state = state(value)?;
            return Ok(lease);
        };
        let wanted = "a state such as \"RWH\", or a table with state, key, parent_key and version";
        let fields = structure.as_object().ok_or(wants(wanted))?;
        only(KEY, fields, &["state", "key", "parent_key", "version"])?;
        let missing = wants("a state, such as state = \"RWH\"");
        lease.state = state(fields.get("state").ok_or(missing)?.into())?;
        for (name, place) in [("key", &mut lease.key), ("parent_key", &mut lease.parent_key)] {
            if let Some(value) = fields.get(name) {
                let key = value.as_str().and_then(bytes).and_then(|key| key.try_into().ok());
                *place = Some(key.ok_or(wants("keys of 32 hexadecimal digits"))?);
            }
        }
        lease.version = version(KEY, fields)?;
        if lease.version == 1 && lease.parent_key.is_some() {
            return Err(wants("version 2 where it has a parent_key"));
        }
        Ok(lease)
    }

    pub(super) fn written(&self) -> Value {
        let mut fields = json!({ "state": LEASE_STATE.write(self.state), "version": self.version });
        for (name, key) in [("key", self.key), ("parent_key", self.parent_key)] {
            if let Some(key) = key {
                fields[name] = hex(&key).into();
            }
        }
        fields
    }
}

impl Durable {
    /// Parses `true`, or a table of version and timeout.
    pub(super) fn parse(value: ParameterValue<'_>) -> Result<Durable, CreateError> {
        const KEY: &str = "durable";
        let wants = |wanted| CreateError::Wants { key: KEY, wanted };
        let wanted = "true, or a table with version (1 or 2) and timeout";
        let default = Durable { version: 2, timeout_ms: 0 };
        let ParameterValue::Structure(structure) = value else {
            return Err(wants(wanted));
        };
        if *structure == Value::Bool(true) {
            return Ok(default);
        }
        let fields = structure.as_object().ok_or(wants(wanted))?;
        only(KEY, fields, &["version", "timeout"])?;
        let version = version(KEY, fields)?;
        let timeout_ms = match fields.get("timeout") {
            None => 0,
            Some(timeout) => milliseconds(timeout)
                .ok_or(wants("a timeout with a unit, such as \"60s\" or \"500ms\""))?,
        };
        if version == 1 && timeout_ms > 0 {
            return Err(wants("version 2 where it has a timeout"));
        }
        Ok(Durable { version, timeout_ms })
    }

    pub(super) fn written(&self) -> Value {
        let mut fields = json!({ "version": self.version });
        if self.timeout_ms > 0 {
            fields["timeout"] = format!("{}ms", self.timeout_ms).into();
        }
        fields
    }
}

impl CreateContext {
    /// Parses a list of tables of name and data.
    pub(super) fn parse(value: ParameterValue<'_>) -> Result<Vec<CreateContext>, CreateError> {
        const KEY: &str = "create_contexts";
        let wants = |wanted| CreateError::Wants { key: KEY, wanted };
        let wanted = "a list such as { { name = \"MxAc\", data = \"00ff\" } }";
        let ParameterValue::Structure(Value::Array(list)) = value else {
            return Err(wants(wanted));
        };
        if list.is_empty() || list.len() > MAX_CONTEXTS {
            return Err(wants("1 to 64 contexts"));
        }
        list.iter()
            .map(|entry| {
                let fields = entry.as_object().ok_or(wants(wanted))?;
                only(KEY, fields, &["name", "data"])?;
                let name = fields.get("name").and_then(Value::as_str).ok_or(wants(wanted))?;
                let name = match name.strip_prefix("0x") {
                    Some(digits) => bytes(digits),
                    None => Some(name.as_bytes().to_vec()),
                };
                let name = name.filter(|name| (1..=MAX_CONTEXT_BYTES).contains(&name.len()));
                let name = name.ok_or(wants(
                    "names of letters such as \"MxAc\", or of hexadecimal digits behind 0x",
                ))?;
                let data = match fields.get("data") {
                    None => Some(Vec::new()),
                    Some(data) => data.as_str().and_then(bytes),
                };
                let data = data.filter(|data| data.len() <= MAX_CONTEXT_BYTES);
                let data = data.ok_or(wants("data in hexadecimal digits, at most 64 KiB"))?;
                Ok(CreateContext { name, data })
            })
            .collect()
    }

    pub(super) fn written(&self) -> Value {
        let plain = self.name.iter().all(u8::is_ascii_graphic) && !self.name.starts_with(b"0x");
        let name = match plain {
            true => String::from_utf8_lossy(&self.name).into_owned(),
            false => format!("0x{}", hex(&self.name)),
        };
        json!({ "name": name, "data": hex(&self.data) })
    }
}

/// Parses a lease state: `"RWH"`, names, or a number.
fn state(value: ParameterValue<'_>) -> Result<u32, CreateError> {
    match value {
        ParameterValue::Text(text) => match lease_letters(text) {
            Some(state) => Ok(state),
            None => flags(&LEASE_STATE, value).map_err(|error| match error {
                CreateError::UnknownName { key, word, .. } if word.len() <= 3 => {
                    let names = "write letters of R, W and H, each once, such as \"RWH\", or NONE";
                    CreateError::UnknownName { key, word, names: names.into() }
                }
                error => error,
            }),
        },
        value => flags(&LEASE_STATE, value),
    }
}

/// Returns the lease state of letters such as `RWH`, or None for any other string.
pub(super) fn lease_letters(text: &str) -> Option<u32> {
    let state = text.trim().chars().try_fold(0, |state, letter| {
        let bit = match letter.to_ascii_uppercase() {
            'R' => 1,
            'H' => 2,
            'W' => 4,
            _ => return None,
        };
        (state & bit == 0).then_some(state | bit)
    });
    state.filter(|state| *state != 0)
}

fn version(key: &'static str, fields: &Map<String, Value>) -> Result<u8, CreateError> {
    match fields.get("version").map(Value::as_f64) {
        None => Ok(2),
        Some(Some(1.0)) => Ok(1),
        Some(Some(2.0)) => Ok(2),
        Some(_) => Err(CreateError::Wants { key, wanted: "version 1 or 2" }),
    }
}

/// Parses a duration of whole milliseconds.
fn milliseconds(value: &Value) -> Option<u32> {
    let ns = nanoseconds(value)?;
    let whole = ns.is_multiple_of(1_000_000).then_some(ns / 1_000_000);
    whole.and_then(|milliseconds| u32::try_from(milliseconds).ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ParameterValue<'_> {
        ParameterValue::Text(text)
    }

    fn lease(value: &Value) -> Result<Lease, String> {
        Lease::parse(value.into()).map_err(|error| error.to_string())
    }

    fn durable(value: &Value) -> Result<Durable, String> {
        Durable::parse(value.into()).map_err(|error| error.to_string())
    }

    fn contexts(value: &Value) -> Result<Vec<CreateContext>, String> {
        CreateContext::parse(value.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_lease_is_a_state_in_letters_names_or_a_table() {
        let state = |value| Lease::parse(text(value)).unwrap().state;
        assert_eq!([state("RWH"), state("r"), state("RH"), state("WR")], [7, 1, 3, 5]);
        assert_eq!(state("READ_CACHING|SMB2_LEASE_HANDLE_CACHING"), 3);
        assert_eq!((state("none"), state("0x7")), (0, 7));
        let key = "00112233445566778899aabbccddeeff";
        let full = json!({ "state": "RH", "key": key, "parent_key": key, "version": 2 });
        let full = lease(&full).unwrap();
        assert_eq!((full.state, full.version, full.key), (3, 2, full.parent_key));
        assert_eq!(full.key.unwrap()[..3], [0, 0x11, 0x22]);
        assert_eq!(lease(&json!({ "state": "R", "version": 1 })).unwrap().version, 1);
        for parsed in [full, Lease { key: None, parent_key: None, version: 1, ..full }] {
            assert_eq!(lease(&parsed.written()), Ok(parsed));
        }
    }

    #[test]
    fn a_lease_that_makes_no_sense_is_refused() {
        for (value, expected) in [
            (
                json!("RWX"),
                r#"lease: "RWX" is not a name it takes; write letters of R, W and H, each once, such as "RWH", or NONE"#,
            ),
            (
                json!("RR"),
                r#"lease: "RR" is not a name it takes; write letters of R, W and H, each once, such as "RWH", or NONE"#,
            ),
            (json!({ "sate": "R" }), r#"lease has no "sate"; nearest is "state""#),
            (json!({ "key": "00" }), r#"lease wants a state, such as state = "RWH""#),
            (json!({ "state": "R", "key": "00" }), "lease wants keys of 32 hexadecimal digits"),
            (json!({ "state": "R", "version": 3 }), "lease wants version 1 or 2"),
            (
                json!({ "state": "R", "version": 1, "parent_key": "00112233445566778899aabbccddeeff" }),
                "lease wants version 2 where it has a parent_key",
            ),
            (
                json!(true),
                r#"lease wants a state such as "RWH", or a table with state, key, parent_key and version"#,
            ),
        ] {
            assert_eq!(lease(&value).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_durable_handle_has_a_version_and_a_timeout_with_a_unit() {
        for (value, version, timeout_ms) in [
            (json!(true), 2, 0),
            (json!({}), 2, 0),
            (json!({ "version": 1 }), 1, 0),
            (json!({ "timeout": "60s" }), 2, 60_000),
            (json!({ "version": 2, "timeout": "1.5 s" }), 2, 1_500),
            (json!({ "timeout": "2m" }), 2, 120_000),
            (json!({ "timeout": 0 }), 2, 0),
        ] {
            let parsed = durable(&value).unwrap();
            assert_eq!(parsed, Durable { version, timeout_ms }, "{value}");
            assert_eq!(durable(&parsed.written()), Ok(parsed));
        }
        let unit = r#"durable wants a timeout with a unit, such as "60s" or "500ms""#;
        for (value, expected) in [
            (json!({ "timeout": 60 }), unit),
            (json!({ "timeout": "60" }), unit),
            (json!({ "timeout": "99999999m" }), unit),
            (json!(2), "durable wants true, or a table with version (1 or 2) and timeout"),
            (
                json!({ "version": 1, "timeout": "1s" }),
                "durable wants version 2 where it has a timeout",
            ),
        ] {
            assert_eq!(durable(&value).unwrap_err(), expected);
        }
    }

    #[test]
    fn contexts_are_kept_as_they_are() {
        let list = json!([
            { "name": "MxAc" },
            { "name": "ExtA", "data": "00FF10" },
            { "name": "0x93ad25509cb411e7b42383de968bcd7c", "data": "" },
        ]);
        let parsed = contexts(&list).unwrap();
        assert_eq!((&parsed[0].name[..], parsed[0].data.len()), (&b"MxAc"[..], 0));
        assert_eq!(parsed[1].data, [0, 0xFF, 0x10]);
        assert_eq!((parsed[2].name.len(), parsed[2].name[0]), (16, 0x93));
        let written = Value::Array(parsed.iter().map(CreateContext::written).collect());
        assert_eq!(contexts(&written).unwrap(), parsed);
        for (value, expected) in [
            (json!([]), "create_contexts wants 1 to 64 contexts"),
            (
                json!({ "name": "MxAc" }),
                r#"create_contexts wants a list such as { { name = "MxAc", data = "00ff" } }"#,
            ),
            (
                json!([{ "name": "MxAc", "data": "0" }]),
                "create_contexts wants data in hexadecimal digits, at most 64 KiB",
            ),
            (json!([{ "nmae": "MxAc" }]), r#"create_contexts has no "nmae"; nearest is "name""#),
        ] {
            assert_eq!(contexts(&value).unwrap_err(), expected);
        }
    }
}
