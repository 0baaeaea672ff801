//! A stream with some of the clients of another.

use std::rc::Rc;
use std::sync::Arc;

use super::stream::{ClientReader, OperationStream, Origin, StreamFacts};
use crate::ir::{StreamHeader, Workload};

struct SelectedClients {
    input: Rc<dyn OperationStream>,
    facts: StreamFacts,
    /// The number that each client has in the input, the run-wide client's last.
    kept: Vec<u32>,
}

/// Returns the stream with the clients for which `keeps` is true, and the run-wide client. They keep
/// their names and are numbered anew. Workloads without clients are left out.
pub(super) fn selected_clients(
    input: Rc<dyn OperationStream>,
    keeps: impl Fn(&str) -> bool,
) -> Rc<dyn OperationStream> {
    let mut facts = input.facts().clone();
    let header = &input.facts().header;
    let (mut kept, mut workloads) = (Vec::new(), Vec::new());
    let mut first = 0;
    for workload in &header.workloads {
        let (mut names, before) = (Vec::new(), kept.len());
        for client in first..first + workload.clients {
            let name = header.client_name(client);
            if keeps(&name) {
                kept.push(client);
                names.push(Arc::from(name));
            }
        }
        first += workload.clients;
        let clients = (kept.len() - before) as u32;
        if clients > 0 {
            let all = clients == workload.clients;
            let client_names = if all { workload.client_names.clone() } else { Some(names.into()) };
            workloads.push(Workload { clients, client_names, ..workload.clone() });
        }
    }
    kept.extend(header.run_client.then_some(first));
    facts.header.active = selected_active(header, &kept);
    facts.header.workloads = workloads.into();
    Rc::new(SelectedClients { input, facts, kept })
}

fn selected_active(header: &StreamHeader, kept: &[u32]) -> Option<Arc<[u32]>> {
    let active = header.active.as_ref()?;
    let numbered = (0..).zip(kept);
    let numbered = numbered.filter(|(_, client)| active.binary_search(client).is_ok());
    Some(numbered.map(|(number, _)| number).collect())
}

impl OperationStream for SelectedClients {
    fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    fn reader(&self, client: u32) -> Box<dyn ClientReader> {
        self.input.reader(self.kept[client as usize])
    }

    fn origin(&self, client: u32) -> Option<Origin> {
        self.input.origin(self.kept[client as usize])
    }
}
