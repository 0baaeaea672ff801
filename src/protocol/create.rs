//! The fields of an SMB2 CREATE request a workload can set (MS-SMB2 2.2.13).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::break_policy::BreakPolicy;
use super::create_contexts::{CreateContext, Durable, Lease, lease_letters};
use super::create_names::{
    ACCESS_MASK, CREATE_OPTIONS, DISPOSITION, FILE_ATTRIBUTES, Field, REQUESTED_OPLOCK, SHARE_MODE,
};
pub use super::parameter_value::{CreateError, ParameterValue};
use super::parameter_value::{flags, one, shortened};

/// The parameters of an `Open` beyond its mode. A field that is `None` has the value that the mode
/// implies; the share mode defaults to read, write and delete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateParameters {
    /// DesiredAccess, MS-SMB2 2.2.13.1.
    pub access_mask: Option<u32>,
    /// ShareAccess.
    pub share_mode: Option<u32>,
    pub disposition: Option<CreateDisposition>,
    /// CreateOptions.
    pub create_options: Option<u32>,
    /// FileAttributes, MS-FSCC 2.6.
    pub file_attributes: Option<u32>,
    /// RequestedOplockLevel. This field and the next three need fidelity mode 2.
    pub requested_oplock: Option<OplockLevel>,
    pub lease: Option<Lease>,
    pub durable: Option<Durable>,
    /// Create contexts that are sent besides those of the fields above.
    pub create_contexts: Vec<CreateContext>,
    /// The policy for breaks of this open, if it differs from that of the workload. It is not part
    /// of the request.
    pub on_break: Option<BreakPolicy>,
    /// Whether the handle is opened again after a lost connection. It is not part of the request.
    pub reopen: bool,
}

/// RequestedOplockLevel, MS-SMB2 2.2.13.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum OplockLevel {
    None = 0x00,
    II = 0x01,
    Exclusive = 0x08,
    Batch = 0x09,
    Lease = 0xFF,
}

/// CreateDisposition, MS-SMB2 2.2.13.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum CreateDisposition {
    /// Replaces an existing file, or creates one.
    Supersede = 0,
    /// Opens an existing file, or fails.
    Open = 1,
    /// Creates a file, or fails if it exists.
    Create = 2,
    /// Opens a file, or creates it if it does not exist.
    OpenIf = 3,
    /// Truncates an existing file, or fails.
    Overwrite = 4,
    /// Truncates an existing file, or creates one.
    OverwriteIf = 5,
}

/// CreateOptions, MS-SMB2 2.2.13.
pub const FILE_DIRECTORY_FILE: u32 = 0x0000_0001;
pub const FILE_NON_DIRECTORY_FILE: u32 = 0x0000_0040;
pub const FILE_DELETE_ON_CLOSE: u32 = 0x0000_1000;

/// The result of setting a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Honoured,
    /// The key is not one of `extensions.smb`; `nearest` is the one most like it.
    Unknown {
        nearest: &'static str,
    },
}

/// The keys of fidelity mode 2: they ask for oplocks, leases, durable handles or raw contexts.
pub const MODE_2_KEYS: [&str; 4] = ["requested_oplock", "lease", "durable", "create_contexts"];

impl CreateParameters {
    /// Sets the field that an `extensions.smb` key names. The case of keys and of names in values
    /// does not matter; prefixes such as `FILE_SHARE_` are optional.
    ///
    /// # Errors
    /// [`CreateError`] if the key is known and its value is invalid.
    pub fn set(&mut self, key: &str, value: ParameterValue<'_>) -> Result<Set, CreateError> {
        let lower;
        let known = match key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => {
                lower = key.to_ascii_lowercase();
                lower.as_str()
            }
            false => key,
        };
        match known {
            "access_mask" => self.access_mask = Some(flags(&ACCESS_MASK, value)?),
            "share_mode" => self.share_mode = Some(flags(&SHARE_MODE, value)?),
            "disposition" => self.disposition = Some(disposition(value)?),
            "create_options" => self.create_options = Some(flags(&CREATE_OPTIONS, value)?),
            "file_attributes" => self.file_attributes = Some(flags(&FILE_ATTRIBUTES, value)?),
            "requested_oplock" => self.requested_oplock = Some(oplock(value)?),
            "lease" => self.lease = Some(Lease::parse(value)?),
            "durable" => self.durable = Some(Durable::parse(value)?),
            "create_contexts" => self.create_contexts = CreateContext::parse(value)?,
            "on_break" => self.on_break = Some(BreakPolicy::parse(value)?),
            "reopen" => {
                let (key, wanted) = ("reopen", "to be true or false");
                let ParameterValue::Structure(Value::Bool(reopen)) = value else {
                    return Err(CreateError::Wants { key, wanted });
                };
                self.reopen = *reopen;
            }
            unknown => return Ok(Set::Unknown { nearest: nearest_key(unknown) }),
        }
        Ok(Set::Honoured)
    }

    /// Returns whether an oplock, a lease, a durable handle or raw contexts are asked for.
    pub fn is_mode_2(&self) -> bool {
        self.requested_oplock.is_some()
            || self.lease.is_some()
            || self.durable.is_some()
            || !self.create_contexts.is_empty()
    }

    /// Returns the keys that are set, with values that [`set`](Self::set) reads back.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let written = |field: &Field, value: Option<u32>| {
            value.map(|value| (field.key, Value::String(field.write(value))))
        };
        let disposition = self.disposition.map(|d| (DISPOSITION.key, d.name().into()));
        let oplock = self.requested_oplock.map(|o| (REQUESTED_OPLOCK.key, o.name().into()));
        let contexts = self.create_contexts.iter().map(CreateContext::written).collect();
        let contexts = Some(("create_contexts", Value::Array(contexts)));
        [
            written(&ACCESS_MASK, self.access_mask),
            written(&SHARE_MODE, self.share_mode),
            disposition,
            written(&CREATE_OPTIONS, self.create_options),
            written(&FILE_ATTRIBUTES, self.file_attributes),
            oplock,
            self.lease.map(|lease| ("lease", lease.written())),
            self.durable.map(|durable| ("durable", durable.written())),
            contexts.filter(|_| !self.create_contexts.is_empty()),
            self.on_break.map(|policy| ("on_break", policy.written())),
            self.reopen.then(|| ("reopen", true.into())),
        ]
        .into_iter()
        .flatten()
    }

    /// Returns the memory that its contexts take, in bytes, beyond its own size.
    pub fn heap_bytes(&self) -> usize {
        let bytes = |context: &CreateContext| context.name.capacity() + context.data.capacity();
        let contexts = self.create_contexts.iter().map(bytes).sum::<usize>();
        contexts + self.create_contexts.capacity() * size_of::<CreateContext>()
    }

    pub fn is_empty(&self) -> bool {
        *self == CreateParameters::default()
    }
}

/// Writes the name; see [`CreateDisposition::name`].
impl fmt::Debug for CreateDisposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl CreateDisposition {
    pub const ALL: [CreateDisposition; 6] = [
        CreateDisposition::Supersede,
        CreateDisposition::Open,
        CreateDisposition::Create,
        CreateDisposition::OpenIf,
        CreateDisposition::Overwrite,
        CreateDisposition::OverwriteIf,
    ];

    /// Returns the name in MS-SMB2.
    pub fn name(self) -> &'static str {
        DISPOSITION.name(self as u32)
    }

    /// Parses a name; prefix and case do not matter.
    ///
    /// # Errors
    /// [`CreateError`] for a name that MS-SMB2 does not define.
    pub fn from_name(name: &str) -> Result<CreateDisposition, CreateError> {
        disposition(ParameterValue::Text(name))
    }
}

impl OplockLevel {
    pub const ALL: [OplockLevel; 5] = [
        OplockLevel::None,
        OplockLevel::II,
        OplockLevel::Exclusive,
        OplockLevel::Batch,
        OplockLevel::Lease,
    ];

    /// Returns the name in MS-SMB2.
    pub fn name(self) -> &'static str {
        REQUESTED_OPLOCK.name(self as u32)
    }
}

fn disposition(value: ParameterValue<'_>) -> Result<CreateDisposition, CreateError> {
    let key = DISPOSITION.key;
    let number = one(&DISPOSITION, value)?;
    let known = CreateDisposition::ALL.into_iter().find(|known| *known as u32 == number);
    known.ok_or(CreateError::NoSuchDisposition { key, number })
}

fn oplock(value: ParameterValue<'_>) -> Result<OplockLevel, CreateError> {
    let key = REQUESTED_OPLOCK.key;
    if matches!(value, ParameterValue::Text(text) if lease_letters(text).is_some()) {
        let wanted = "NONE, II, EXCLUSIVE, BATCH or LEASE; letters such as \"RWH\" belong to lease";
        return Err(CreateError::Wants { key, wanted });
    }
    let number = one(&REQUESTED_OPLOCK, value)?;
    let known = OplockLevel::ALL.into_iter().find(|known| *known as u32 == number);
    known.ok_or(CreateError::NoSuchOplock { key, number })
}

/// Returns every key that [`CreateParameters::set`] knows.
pub fn keys() -> impl Iterator<Item = &'static str> {
    let fields = [&ACCESS_MASK, &SHARE_MODE, &DISPOSITION, &CREATE_OPTIONS, &FILE_ATTRIBUTES];
    fields.into_iter().map(|field| field.key).chain(MODE_2_KEYS).chain(["on_break", "reopen"])
}

fn nearest_key(unknown: &str) -> &'static str {
    let unknown = shortened(unknown);
    keys().min_by_key(|key| strsim::damerau_levenshtein(key, &unknown)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(key: &str, value: ParameterValue<'_>) -> Result<CreateParameters, CreateError> {
        let mut parameters = CreateParameters::default();
        assert_eq!(parameters.set(key, value)?, Set::Honoured);
        Ok(parameters)
    }

    #[test]
    fn names_are_taken_in_any_case_with_or_without_prefix_and_joined() {
        let share = |text| set("share_mode", ParameterValue::Text(text)).unwrap().share_mode;
        assert_eq!(share("FILE_SHARE_READ|FILE_SHARE_WRITE"), Some(3));
        assert_eq!(share("read | share_delete"), Some(5));
        assert_eq!(share("none"), Some(0));
        let access = set("Access_Mask", ParameterValue::Text("generic_read|READ_DATA|0x80"));
        assert_eq!(access.unwrap().access_mask, Some(0x8000_0081));
        let options = set("create_options", ParameterValue::Text("delete_on_close"));
        assert_eq!(options.unwrap().create_options, Some(0x1000));
        let attributes = set("file_attributes", ParameterValue::Text("Hidden|ATTRIBUTE_SYSTEM"));
        assert_eq!(attributes.unwrap().file_attributes, Some(6));
    }

    #[test]
    fn numbers_are_taken_as_numbers_and_as_text() {
        for value in
            [ParameterValue::Number(3.0), ParameterValue::Text("3"), ParameterValue::Text("0x3")]
        {
            let disposition = set("disposition", value).unwrap().disposition;
            assert_eq!(disposition, Some(CreateDisposition::OpenIf));
        }
        let json = serde_json::json!(0xFFFF_FFFFu32);
        let all = set("access_mask", ParameterValue::from(&json)).unwrap();
        assert_eq!(all.access_mask, Some(u32::MAX));
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_with_the_nearest_word() {
        let message = |key, value| set(key, value).unwrap_err().to_string();
        assert_eq!(
            message("share_mode", ParameterValue::Text("FILE_SHARE_RAED")),
            r#"share_mode: "FILE_SHARE_RAED" is not a name it takes; nearest is "READ""#
        );
        assert_eq!(
            message("access_mask", ParameterValue::Text("FOO")),
            "access_mask: \"FOO\" is not a name it takes; there is READ_DATA, WRITE_DATA, APPEND_DATA, READ_EA, WRITE_EA, EXECUTE, DELETE_CHILD, READ_ATTRIBUTES, WRITE_ATTRIBUTES, DELETE, READ_CONTROL, WRITE_DAC, WRITE_OWNER, SYNCHRONIZE, ACCESS_SYSTEM_SECURITY, MAXIMUM_ALLOWED, GENERIC_ALL, GENERIC_EXECUTE, GENERIC_WRITE, GENERIC_READ, LIST_DIRECTORY, ADD_FILE, ADD_SUBDIRECTORY, TRAVERSE"
        );
        assert_eq!(
            message("disposition", ParameterValue::Number(9.0)),
            "disposition: 9 is not a disposition; they go from 0 (SUPERSEDE) to 5 (OVERWRITE_IF)"
        );
        assert_eq!(
            message("disposition", ParameterValue::Text("OPEN|CREATE")),
            r#"disposition: one name is wanted, not several joined with "|""#
        );
        for number in [-1.0, 0.5, 4_294_967_296.0, f64::NAN] {
            let error = set("access_mask", ParameterValue::Number(number)).unwrap_err();
            assert!(matches!(error, CreateError::OutOfRange { .. }), "{number}");
        }
        assert_eq!(
            message("access_mask", ParameterValue::Text("0x1FFFFFFFF")),
            "access_mask: 0x1FFFFFFFF is not a whole number from 0 to 0xFFFFFFFF"
        );
        assert_eq!(
            message("file_attributes", ParameterValue::Structure(&Value::Null)),
            r#"file_attributes wants a name, names joined with "|", or a number"#
        );
        assert!(set("share_mode", ParameterValue::Text("")).is_err());
    }

    #[test]
    fn keys_of_mode_2_are_told_from_unknown_ones() {
        let mut parameters = CreateParameters::default();
        assert!(!parameters.is_mode_2());
        for (key, value) in [
            ("requested_oplock", json!("batch")),
            ("Lease", json!("RWH")),
            ("durable", json!(true)),
            ("create_contexts", json!([{ "name": "MxAc" }])),
        ] {
            assert_eq!(parameters.set(key, (&value).into()), Ok(Set::Honoured), "{key}");
        }
        assert_eq!(parameters.requested_oplock, Some(OplockLevel::Batch));
        assert_eq!(parameters.lease.unwrap().state, 7);
        assert!(parameters.is_mode_2());
        let answered = parameters.set("on_break", (&json!({ "policy": "ignore" })).into());
        assert_eq!(answered, Ok(Set::Honoured), "it asks nothing of the server");
        assert_eq!(
            parameters.set("share_mod", ParameterValue::Number(1.0)),
            Ok(Set::Unknown { nearest: "share_mode" })
        );
    }

    #[test]
    fn oplocks_go_by_their_names_and_numbers() {
        let oplock = |value| {
            let mut parameters = CreateParameters::default();
            let set = parameters.set("requested_oplock", value);
            set.map(|_| parameters.requested_oplock.unwrap()).map_err(|error| error.to_string())
        };
        for level in OplockLevel::ALL {
            assert_eq!(oplock(ParameterValue::Text(level.name())), Ok(level));
            assert_eq!(oplock(ParameterValue::Number(f64::from(level as u8))), Ok(level));
        }
        assert_eq!(oplock(ParameterValue::Text("level_ii")), Ok(OplockLevel::II));
        assert_eq!(
            oplock(ParameterValue::Text("bacth")).unwrap_err(),
            r#"requested_oplock: "bacth" is not a name it takes; nearest is "BATCH""#
        );
        assert_eq!(
            oplock(ParameterValue::Number(2.0)).unwrap_err(),
            "requested_oplock: 2 is not an oplock level; they are NONE, II, EXCLUSIVE, BATCH and LEASE"
        );
        assert!(oplock(ParameterValue::Text("batch|lease")).is_err());
    }

    #[test]
    fn written_create_parameters_read_back() {
        let parameters = CreateParameters {
            access_mask: Some(0x8012_0089),
            share_mode: Some(0),
            disposition: Some(CreateDisposition::Create),
            create_options: Some(0x4000_0040),
            file_attributes: Some(0x80),
            requested_oplock: Some(OplockLevel::Lease),
            lease: Some(Lease { state: 5, key: Some([7; 16]), parent_key: None, version: 1 }),
            durable: Some(Durable { version: 2, timeout_ms: 500 }),
            create_contexts: vec![CreateContext { name: b"ExtA".into(), data: vec![1, 2] }],
            on_break: Some(BreakPolicy { delay_ns: 50_000_000, flush: true, ..Default::default() }),
            reopen: true,
        };
        let mut again = CreateParameters::default();
        for (key, value) in parameters.entries() {
            again.set(key, (&value).into()).unwrap();
        }
        assert_eq!(again, parameters);
        let options = parameters.entries().find(|(key, _)| *key == "create_options").unwrap();
        assert_eq!(options.1, "FILE_NON_DIRECTORY_FILE|0x40000000");
    }
}
