//! The header and the last line of a version 2 document. A version 1 document is given a header
//! while it is read.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::Problem;
use super::limits::MAX_TIME_NS;
use super::warnings::shortened;
use crate::ir::phases::MAX_PHASES;
use crate::ir::source::{Module, Phase, StreamHeader, UsedPackage};
use crate::ir::workloads::{MAX_CLIENTS, MAX_WORKLOADS, Workload};

/// The first line of a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub version: u32,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub seed: u64,
    /// The workloads, in the order in which their clients are numbered.
    pub workloads: Vec<Workload>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub run_client: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<UsedPackage>,
    /// The `metadata` of the version 1 document this came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The last line of a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub operations: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ir_hash: Option<String>,
}

impl From<&StreamHeader> for Header {
    fn from(stream: &StreamHeader) -> Header {
        Header {
            version: 2,
            source: stream.source.clone(),
            seed: stream.seed,
            workloads: stream.workloads.to_vec(),
            run_client: stream.run_client,
            phases: stream.phases.clone(),
            script_hash: stream.script_hash.clone(),
            params: stream.params.clone(),
            modules: stream.modules.clone(),
            packages: stream.packages.clone(),
            metadata: None,
        }
    }
}

impl Header {
    /// Converts the header to that of a stream that is all in this document. Its `ir_hash` is
    /// known when the operations have been read.
    pub(super) fn into_stream(self) -> StreamHeader {
        StreamHeader {
            source: self.source,
            seed: self.seed,
            workloads: self.workloads.into(),
            run_client: self.run_client,
            phases: self.phases,
            bounded: true,
            script_hash: self.script_hash,
            params: self.params,
            modules: self.modules,
            packages: self.packages,
            ..StreamHeader::default()
        }
    }

    /// Returns the number of clients, the run-wide one included.
    pub fn clients(&self) -> u32 {
        let clients: u32 = self.workloads.iter().map(|workload| workload.clients).sum();
        clients + u32::from(self.run_client)
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        let clients = self.workloads.iter().map(|workload| u64::from(workload.clients)).sum();
        if clients == 0 && !self.run_client {
            return Err(Problem::NoClients);
        }
        if self.workloads.len() > MAX_WORKLOADS {
            return Err(Problem::TooManyWorkloads(self.workloads.len()));
        }
        if clients > u64::from(MAX_CLIENTS) {
            return Err(Problem::TooManyClients(clients));
        }
        if self.phases.len() > MAX_PHASES {
            return Err(Problem::TooManyPhases(self.phases.len()));
        }
        let lengths = self.phases.iter().map(|phase| u128::from(phase.duration_ns));
        if lengths.sum::<u128>() > u128::from(MAX_TIME_NS) {
            return Err(Problem::PhasesTooLong);
        }
        let mut known = HashSet::new();
        for workload in &self.workloads {
            let names = match &workload.client_names {
                Some(names) => names,
                None => std::slice::from_ref(&workload.name),
            };
            if let Some(twice) = names.iter().find(|name| !known.insert(Arc::clone(name))) {
                return Err(Problem::DuplicateClient(shortened(twice)));
            }
            if workload.client_names.is_some() && names.len() != workload.clients as usize {
                return Err(Problem::ClientNames {
                    name: shortened(&workload.name),
                    clients: workload.clients,
                    names: names.len(),
                });
            }
        }
        Ok(())
    }
}
