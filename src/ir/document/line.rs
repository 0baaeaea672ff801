//! An operation as a document writes it: strings, before it is checked.
//!
//! Both versions share one shape. A version 1 operation is turned into a
//! version 2 line as it is read, so that only the version 1 files know of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize as DeserializeDerive, Serialize};
use serde_json::{Map, Value};

use crate::ir::due::{Due, Late};
use crate::ir::operation::{
    Expect, FileControl, HandleOperation, OpenMode, Operation, OperationKind, OperationType,
    PathOperation, Section,
};
use crate::ir::payload::{Pattern, Payload};
use crate::ir::step::Step;
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateParameters, NtStatus};

/// Defines [`DocumentLine`] and a bit for each of its fields. All fields but `type` may be absent.
macro_rules! document_line {
    (
        before_type { $($(#[$doc:meta])* $bit:ident $field:ident: $type:ty,)* }
        after_type { $($(#[$doc_after:meta])* $bit_after:ident $field_after:ident: $type_after:ty,)* }
    ) => {
        /// One operation of a document. The fields are written in this order, which is therefore
        /// part of what `ir_hash` means.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, DeserializeDerive)]
        pub struct DocumentLine<'a> {
            $(
                $(#[$doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            #[serde(rename = "type")]
            pub kind: Cow<'a, str>,
            $(
                $(#[$doc_after])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field_after: Option<$type_after>,
            )*
            #[serde(flatten, skip_serializing)]
            pub unknown: BTreeMap<String, IgnoredAny>,
        }

        /// One bit for each field that may be absent.
        pub(super) mod field {
            document_line!(@bits 0; $($bit,)* $($bit_after,)*);
            /// The names of the fields, in the order of their bits.
            pub const NAMES: &[&str] = &[$(stringify!($field),)* $(stringify!($field_after),)*];
        }

        impl DocumentLine<'_> {
            /// Returns the bits of the fields that are present.
            pub(super) fn present(&self) -> u32 {
                $(u32::from(self.$field.is_some()) * field::$bit)|*
                    | $(u32::from(self.$field_after.is_some()) * field::$bit_after)|*
            }
        }
    };
    (@bits $bit:expr; $constant:ident, $($rest:ident,)*) => {
        pub const $constant: u32 = 1 << ($bit);
        document_line!(@bits $bit + 1; $($rest,)*);
    };
    (@bits $bit:expr;) => {};
}

document_line! {
    before_type {
        OP_ID op_id: Cow<'a, str>,
        /// The name of the client, in version 1 only.
        CLIENT_ID client_id: Cow<'a, str>,
        /// The due time in microseconds, in version 1 only.
        TIMESTAMP_US timestamp_us: u64,
        /// The number of the client, counted through the workloads of the header.
        CLIENT client: u32,
        /// The section. Absent: iteration.
        SECTION section: Section,
        /// The number of the iteration. Absent: 0.
        ITERATION iteration: u32,
        /// The due time. Together with `after_ns` it makes the arrival of an open loop.
        AT_NS at_ns: u64,
        AFTER_NS after_ns: u64,
        /// The fate of a late arrival. Absent: queue.
        LATE late: Late,
    }
    after_type {
        PATH path: Cow<'a, str>,
        MODE mode: OpenMode,
        /// The disposition. Absent: [`default_disposition`].
        DISPOSITION disposition: Cow<'a, str>,
        HANDLE_REF handle_ref: HandleName<'a>,
        OFFSET offset: u64,
        LENGTH length: u64,
        PAYLOAD payload: Pattern,
        BLOB_PATH blob_path: Cow<'a, str>,
        SOURCE_PATH source_path: Cow<'a, str>,
        DEST_PATH dest_path: Cow<'a, str>,
        REPLACE replace: bool,
        PATTERN pattern: Cow<'a, str>,
        SIZE size: u64,
        EXCLUSIVE exclusive: bool,
        WAIT wait: bool,
        /// Names of statuses, or `any`. Absent: the default.
        EXPECT expect: Vec<Cow<'a, str>>,
        /// The step that the operation belongs to.
        STEP step: StepLine<'a>,
        /// The extensions as they were read, unknown keys included.
        EXTENSIONS extensions: Map<String, Value>,
    }
}

/// The step of an operation in a document.
#[derive(Clone, Debug, PartialEq, Serialize, DeserializeDerive)]
#[serde(deny_unknown_fields)]
pub struct StepLine<'a> {
    pub name: Cow<'a, str>,
    /// The number of the occurrence. Absent: 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub number: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer: Option<Box<StepLine<'a>>>,
}

fn is_first(number: &u32) -> bool {
    *number == 0
}

impl<'a> From<&'a Step> for StepLine<'a> {
    fn from(step: &'a Step) -> StepLine<'a> {
        StepLine {
            name: Cow::Borrowed(&step.name),
            number: step.number,
            outer: step.outer.as_deref().map(|outer| Box::new(StepLine::from(outer))),
        }
    }
}

/// The name of a handle in a document: any string or number, unique among the handles its
/// client has open.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum HandleName<'a> {
    Number(u64),
    Text(Cow<'a, str>),
}

impl fmt::Display for HandleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandleName::Number(number) => write!(f, "{number}"),
            HandleName::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for HandleName<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = HandleName<'static>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a handle_ref (a string or a number from 0)")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(HandleName::Number(number))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(HandleName::Text(Cow::Owned(text.to_string())))
            }
        }
        deserializer.deserialize_any(NameVisitor)
    }
}

/// Returns the disposition of an open whose line has none: the meaning of Lua's modes `r`, `w`
/// and `rw`.
pub fn default_disposition(mode: OpenMode) -> CreateDisposition {
    match mode {
        OpenMode::Read => CreateDisposition::Open,
        OpenMode::Write => CreateDisposition::OverwriteIf,
        OpenMode::ReadWrite => CreateDisposition::OpenIf,
    }
}

impl<'a> DocumentLine<'a> {
    /// Returns the version 2 line of an operation.
    pub fn from_operation(operation: &'a Operation) -> DocumentLine<'a> {
        let mut line = DocumentLine {
            op_id: operation.id.as_deref().map(Cow::Borrowed),
            client: Some(operation.client_idx),
            section: (operation.section != Section::Iteration).then_some(operation.section),
            iteration: (operation.iteration != 0).then_some(operation.iteration),
            kind: Cow::Borrowed(operation.operation_type().document_name()),
            expect: expect_words(&operation.expect),
            step: operation.step.as_deref().map(StepLine::from),
            handle_ref: (operation.kind.handle_ref())
                .map(|handle| HandleName::Number(u64::from(handle.0))),
            ..DocumentLine::default()
        };
        match operation.due {
            Due::At(ns) => line.at_ns = Some(ns),
            Due::After(ns) => line.after_ns = Some(ns),
            Due::Arrival { at_ns, think_ns, late } => {
                (line.at_ns, line.after_ns) = (Some(at_ns), Some(think_ns));
                line.late = (late != Late::Queue).then_some(late);
            }
        }
        line.set_kind(&operation.kind);
        line
    }

    fn set_kind(&mut self, kind: &'a OperationKind) {
        match kind {
            OperationKind::Open(open) => {
                self.path = Some(Cow::Borrowed(open.path.as_str()));
                self.mode = Some(open.mode);
                self.set_disposition(open.mode, open.disposition);
                self.extensions = open.extensions.as_deref().map(extension_map);
            }
            OperationKind::OnHandle(_, operation) => self.set_on_handle(operation),
            OperationKind::ByPath(operation) => self.set_by_path(operation),
        }
    }

    fn set_on_handle(&mut self, operation: &'a HandleOperation) {
        match operation {
            HandleOperation::Write { offset, length, payload } => {
                (self.offset, self.length) = (Some(*offset), Some(*length));
                match payload {
                    Payload::Pattern(pattern) => self.payload = Some(*pattern),
                    Payload::Blob(blob) => self.blob_path = Some(blob.path.to_string_lossy()),
                }
            }
            HandleOperation::Read { offset, length }
            | HandleOperation::Control(FileControl::Unlock { offset, length }) => {
                (self.offset, self.length) = (Some(*offset), Some(*length));
            }
            HandleOperation::Control(FileControl::Lock { offset, length, exclusive, wait }) => {
                (self.offset, self.length) = (Some(*offset), Some(*length));
                (self.exclusive, self.wait) = (Some(*exclusive), Some(*wait));
            }
            HandleOperation::Control(FileControl::Truncate { size }) => self.size = Some(*size),
            HandleOperation::Close | HandleOperation::Control(FileControl::Flush) => {}
        }
    }

    fn set_by_path(&mut self, operation: &'a PathOperation) {
        match operation {
            PathOperation::Rename { source_path, dest_path, replace } => {
                self.source_path = Some(Cow::Borrowed(source_path.as_str()));
                self.dest_path = Some(Cow::Borrowed(dest_path.as_str()));
                self.replace = Some(*replace);
            }
            PathOperation::Delete { path }
            | PathOperation::Mkdir { path }
            | PathOperation::Rmdir { path }
            | PathOperation::Stat { path } => self.path = Some(Cow::Borrowed(path.as_str())),
            PathOperation::List { path, pattern } => {
                self.path = Some(Cow::Borrowed(path.as_str()));
                self.pattern = Some(Cow::Borrowed(pattern));
            }
        }
    }

    pub fn set_disposition(&mut self, mode: OpenMode, disposition: CreateDisposition) {
        self.disposition =
            (disposition != default_disposition(mode)).then_some(Cow::Borrowed(disposition.name()));
    }

    /// Brings the line to its canonical form: values that equal their default are removed, and
    /// names are written in one way. Unknown names stay as they are. `seq` is the number of
    /// the operation within its client.
    pub fn make_canonical(&mut self, seq: u32) {
        let client = self.client.unwrap_or_default();
        self.op_id.take_if(|op_id| *op_id == format!("{client}-{seq}"));
        self.section.take_if(|section| *section == Section::Iteration);
        self.iteration.take_if(|iteration| *iteration == 0);
        self.late.take_if(|late| *late == Late::Queue);
        if let (Some(mode), Some(name)) = (self.mode, &self.disposition)
            && let Ok(disposition) = CreateDisposition::from_name(name)
        {
            self.set_disposition(mode, disposition);
        }
        for word in self.expect.iter_mut().flatten() {
            if let Some(status) = status_named(word) {
                *word = status.to_string().into();
            }
        }
    }

    pub fn operation_type(&self) -> Option<OperationType> {
        OperationType::ALL.into_iter().find(|known| known.document_name() == self.kind)
    }

    pub fn section(&self) -> Section {
        self.section.unwrap_or(Section::Iteration)
    }
}

/// Returns the status with a name, or with a number such as `0xC0000022`.
pub fn status_named(word: &str) -> Option<NtStatus> {
    let number = word.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    number.map(NtStatus).or_else(|| NtStatus::from_name(word))
}

fn expect_words(expect: &Expect) -> Option<Vec<Cow<'static, str>>> {
    match expect {
        Expect::Default => None,
        Expect::Any => Some(vec![Cow::Borrowed("any")]),
        Expect::Statuses(statuses) => {
            let word = |status: &NtStatus| match status.name() {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(status.to_string()),
            };
            Some(statuses.iter().map(word).collect())
        }
    }
}

fn extension_map(parameters: &CreateParameters) -> Map<String, Value> {
    let smb: Map<String, Value> =
        parameters.entries().map(|(key, value)| (key.to_string(), value)).collect();
    Map::from_iter([("smb".to_string(), Value::Object(smb))])
}
