//! The features that a stream may ask of a client stack.

use std::borrow::Cow;

use serde::Serialize;

use super::operation::{FileControl, HandleOperation, OpenOperation, Operation, OperationKind};
use crate::protocol::CreateParameters;
use crate::protocol::create::MODE_2_KEYS;

/// Something a stream may need beyond opening, reading and writing files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    Locks,
    /// A `Lock` that waits.
    BlockingLocks,
    AccessMask,
    ShareMode,
    Disposition,
    CreateOptions,
    FileAttributes,
    /// Oplocks, leases, durable handles, raw create contexts.
    Caching,
}

impl Feature {
    pub const ALL: [Feature; 8] = [
        Feature::Locks,
        Feature::BlockingLocks,
        Feature::AccessMask,
        Feature::ShareMode,
        Feature::Disposition,
        Feature::CreateOptions,
        Feature::FileAttributes,
        Feature::Caching,
    ];

    /// Returns the lowest fidelity mode that has the feature, its name in the `needs` of a
    /// workload, and its name in messages.
    const fn row(self) -> (u8, &'static str, &'static str) {
        match self {
            Feature::Locks => (0, "locks", "locks"),
            Feature::BlockingLocks => (0, "blocking_locks", "locks that wait (wait = true)"),
            Feature::AccessMask => (1, "access_mask", "access_mask"),
            Feature::ShareMode => (1, "share_mode", "share_mode"),
            Feature::Disposition => (1, "disposition", "disposition"),
            Feature::CreateOptions => (1, "create_options", "create_options"),
            Feature::FileAttributes => (1, "file_attributes", "file_attributes"),
            Feature::Caching => {
                (2, "caching", "requested_oplock, lease, durable or create_contexts")
            }
        }
    }

    /// Returns the lowest fidelity mode that has the feature.
    pub fn mode(self) -> u8 {
        self.row().0
    }

    /// Returns the name of the feature in the `needs` of a workload.
    pub fn key(self) -> &'static str {
        self.row().1
    }

    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Returns the features that one operation needs.
    pub fn needed_by(operation: &Operation) -> Vec<Feature> {
        match &operation.kind {
            OperationKind::Open(OpenOperation { extensions: Some(parameters), .. }) => {
                of_create(parameters)
            }
            OperationKind::OnHandle(_, HandleOperation::Control(control)) => match control {
                FileControl::Lock { wait: true, .. } => {
                    vec![Feature::Locks, Feature::BlockingLocks]
                }
                FileControl::Lock { .. } | FileControl::Unlock { .. } => vec![Feature::Locks],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn of_create(parameters: &CreateParameters) -> Vec<Feature> {
    [
        (parameters.access_mask.is_some(), Feature::AccessMask),
        (parameters.share_mode.is_some(), Feature::ShareMode),
        (parameters.disposition.is_some(), Feature::Disposition),
        (parameters.create_options.is_some(), Feature::CreateOptions),
        (parameters.file_attributes.is_some(), Feature::FileAttributes),
        (parameters.is_mode_2(), Feature::Caching),
    ]
    .into_iter()
    .filter_map(|(needed, feature)| needed.then_some(feature))
    .collect()
}

/// A feature a stream uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub feature: Feature,
    /// The part of the feature that is used, such as `lease`.
    pub what: Cow<'static, str>,
    /// The first operation that uses it (`operation 0-7`), or the workload that states the need.
    pub whose: String,
}

impl Need {
    /// Creates a need that a workload declares.
    pub fn stated(feature: Feature, whose: &str) -> Need {
        Need { feature, what: feature.name().into(), whose: whose.into() }
    }

    /// Creates the need of `operation` for `feature`, which is one of those it needs.
    pub fn new(feature: Feature, operation: &Operation) -> Need {
        let whose = format!("operation {}", operation.op_id());
        Need { feature, what: what(feature, operation), whose }
    }

    /// Returns the needs of one operation.
    pub fn of(operation: &Operation) -> impl Iterator<Item = Need> {
        Feature::needed_by(operation).into_iter().map(|feature| Need::new(feature, operation))
    }
}

/// Returns the feature's name in the operation's own options.
fn what(feature: Feature, operation: &Operation) -> Cow<'static, str> {
    match &operation.kind {
        OperationKind::Open(OpenOperation { extensions: Some(parameters), .. })
            if feature == Feature::Caching =>
        {
            let keys = parameters.entries().map(|(key, _)| key);
            let keys: Vec<&str> = keys.filter(|key| MODE_2_KEYS.contains(key)).collect();
            keys.join(" and ").into()
        }
        _ => feature.name().into(),
    }
}
