//! The stage `scale_clients`: a stream with more clients.

use std::rc::Rc;
use std::sync::Arc;

use super::chain::ChainReader;
use super::path_template::{PathTemplate, replace_paths};
use super::per_client::{OperationChange, transformed};
use super::shift::ClientShift;
use super::stream::{
    ClientReader, OperationStream, Origin, StagePlace, StreamFacts, StreamStage, TransformError,
};
use crate::ir::workloads::MAX_CLIENTS;
use crate::ir::{
    Expect, Operation, PathOperation, Progress, Section, SourceError, StreamHeader, Workload,
    Workloads,
};
use crate::protocol::{NtStatus, SharePath};

/// Makes clones of all clients until there are `to` clients.
///
/// The clients of the input are clone 0 and stay as they are. Every other clone has the paths that
/// the template makes, and begins its iterations at a random time within `jitter_ns` of the
/// original. All clients of one clone begin together, because one of them may create what another
/// opens. The run-wide client makes the directories of the template, and does its setup and
/// teardown once for each clone.
#[derive(Clone, Debug)]
pub struct ScaleClientsStage {
    /// The number of clients, those of the input included.
    pub to: u32,
    pub jitter_ns: u64,
    pub path: PathTemplate,
}

impl ScaleClientsStage {
    /// The path of a clone, if none is given.
    pub const PATH: &str = "clone{k}/{path}";
}

impl StreamStage for ScaleClientsStage {
    fn apply(
        &self,
        input: Rc<dyn OperationStream>,
        place: StagePlace,
    ) -> Result<Rc<dyn OperationStream>, TransformError> {
        let mut facts = input.facts().clone();
        let clients = facts.header.workload_clients();
        if clients == 0 {
            return Err(place.refuse("the stream has no client to clone"));
        }
        if self.to < clients {
            return Err(place.refuse(format!(
                "the stream already has {clients} clients, which are more than {}: clients are added, and none is dropped",
                self.to
            )));
        }
        if self.to > MAX_CLIENTS {
            let to = self.to;
            return Err(place.refuse(format!("{to} clients; at most {MAX_CLIENTS} are possible")));
        }
        if self.to == clients {
            return Ok(input);
        }
        if !self.path.isolates() && !self.path.keeps_paths() {
            return Err(place.refuse(
                "the path has no {k}, so that all clones would use the same files; write such as \"clone{k}/{path}\", or \"{path}\" if they are to share the files",
            ));
        }
        let clones = Clones::new(&facts.header, self.to);
        let makes_directories = !self.path.directories(1).is_empty();
        facts.lengthen(self.jitter_ns);
        facts.ids_stay_unique = false;
        facts.header.workloads = clones.workloads(&facts.header);
        if let Some(active) = &facts.header.active {
            let is_active = |client: &u32| match clones.original(*client) {
                Some((_, original)) => active.binary_search(&original).is_ok(),
                None => active.binary_search(&clients).is_ok(),
            };
            facts.header.active = Some((0..self.to).filter(is_active).collect());
        }
        // After `active`, whose last entry was the run-wide client's, if there was one.
        let has_run_client = facts.header.run_client;
        facts.header.run_client |= makes_directories;
        if let Some(active) = facts.header.active.take_if(|_| facts.header.run_client) {
            facts.header.active = Some(active.iter().copied().chain([self.to]).collect());
        }
        Ok(Rc::new(Scaled {
            input,
            facts: Rc::new(facts),
            clones: Rc::new(clones),
            has_run_client,
            path: self.path.clone(),
            jitter_ns: self.jitter_ns,
            place,
        }))
    }
}

struct Scaled {
    input: Rc<dyn OperationStream>,
    facts: Rc<StreamFacts>,
    clones: Rc<Clones>,
    /// Whether the input has a run-wide client.
    has_run_client: bool,
    path: PathTemplate,
    jitter_ns: u64,
    place: StagePlace,
}

/// The numbering of the clones. The clients of a workload are numbered clone by clone.
struct Clones {
    workloads: Vec<WorkloadClones>,
    /// The number of clones, the input included. The last one may lack clients.
    count: u32,
    /// The number of clients of the input.
    originals: u32,
}

/// The first client of a workload and the number of its clients, in the input and in the output.
struct WorkloadClones {
    first_original: u32,
    first: u32,
    originals: u32,
    clients: u32,
}

impl Clones {
    fn new(header: &StreamHeader, to: u32) -> Clones {
        let originals = header.workload_clients();
        let (whole, rest) = (to / originals, to % originals);
        let (mut first_original, mut first) = (0, 0);
        let workloads = header.workloads.iter().map(|workload| {
            let partial = rest.saturating_sub(first_original).min(workload.clients);
            let clients = workload.clients * whole + partial;
            let clones =
                WorkloadClones { first_original, first, originals: workload.clients, clients };
            first_original += workload.clients;
            first += clients;
            clones
        });
        let workloads = workloads.collect();
        Clones { workloads, count: whole + u32::from(rest > 0), originals }
    }

    /// Returns the clone that a client belongs to, and its original; none for the run-wide client.
    fn original(&self, client: u32) -> Option<(u32, u32)> {
        let at = self.workloads.partition_point(|it| it.first + it.clients <= client);
        let of = self.workloads.get(at)?;
        let id = client - of.first;
        Some((id / of.originals, of.first_original + id % of.originals))
    }

    fn workloads(&self, header: &StreamHeader) -> Workloads {
        let prefix = free_prefix(header);
        let scaled = header.workloads.iter().zip(&self.workloads);
        let scaled = scaled.map(|(workload, WorkloadClones { clients, .. })| Workload {
            clients: *clients,
            client_names: (workload.client_names.as_ref())
                .map(|names| names_of(names, *clients, &prefix)),
            ..workload.clone()
        });
        scaled.collect()
    }
}

/// Returns the beginning of the names of clones: `clone`, unless a client has such a name already.
/// The clients of a stream that is scaled again do.
fn free_prefix(header: &StreamHeader) -> String {
    let mut prefix = "clone".to_string();
    let names = || {
        let workloads = header.workloads.iter();
        workloads.flat_map(|it| it.client_names.iter().flat_map(|names| &**names).chain([&it.name]))
    };
    while names().any(|name| name.starts_with(&prefix)) {
        prefix.insert_str(0, "re");
    }
    prefix
}

/// Returns the names of all clones of named clients.
fn names_of(names: &[Arc<str>], clients: u32, prefix: &str) -> Arc<[Arc<str>]> {
    let clones =
        (0..clients as usize).map(|id| match (id / names.len(), &names[id % names.len()]) {
            (0, name) => Arc::clone(name),
            (k, name) => format!("{prefix}{k}/{name}").into(),
        });
    clones.collect()
}

impl OperationStream for Scaled {
    fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    fn reader(&self, client: u32) -> Box<dyn ClientReader> {
        let Some((k, original)) = self.clones.original(client) else {
            return self.run_client(client);
        };
        let input = self.input.reader(original);
        if k == 0 {
            return input;
        }
        // The same for all clients of the clone.
        let shift_ns = match self.jitter_ns {
            0 => 0,
            jitter_ns => self.place.random(k).below(jitter_ns),
        };
        let shift = ClientShift::new(i64::try_from(shift_ns).unwrap_or(i64::MAX));
        let transform = CloneTransform { k, path: self.path.clone(), shift };
        transformed(input, Box::new(transform), (client, &self.facts), &self.place)
    }

    fn origin(&self, client: u32) -> Option<Origin> {
        let (k, original) = self.clones.original(client)?;
        let mut origin = self.input.origin(original)?;
        origin.copy.push(k);
        Some(origin)
    }
}

impl Scaled {
    /// Returns a reader of the run-wide client: the directories of each clone, then what the
    /// run-wide client of the input does, in the paths of the clone.
    fn run_client(&self, client: u32) -> Box<dyn ClientReader> {
        let (input, facts) = (Rc::clone(&self.input), Rc::clone(&self.facts));
        let (path, place) = (self.path.clone(), self.place.clone());
        let (originals, has_run_client) = (self.clones.originals, self.has_run_client);
        Box::new(ChainReader::new(self.clones.count, move |k| {
            let reader: Box<dyn ClientReader> = match has_run_client {
                false => Box::new(NoOperations),
                true => input.reader(originals),
            };
            if k == 0 {
                return (reader, Vec::new());
            }
            let directories = path.directories(k).into_iter();
            let directories = directories.map(|path| made_directory(client, path)).collect();
            let transform = CloneTransform { k, path: path.clone(), shift: ClientShift::new(0) };
            (transformed(reader, Box::new(transform), (client, &facts), &place), directories)
        }))
    }
}

/// Returns the operation that makes a directory in the setup, unless it is there.
fn made_directory(client: u32, path: SharePath) -> Operation {
    let allowed = [NtStatus::SUCCESS, NtStatus::OBJECT_NAME_COLLISION];
    Operation {
        section: Section::Setup,
        expect: Expect::Statuses(allowed.into()),
        ..Operation::new(client, 0, PathOperation::Mkdir { path })
    }
}

/// A reader of a client that has no operations.
struct NoOperations;

impl ClientReader for NoOperations {
    fn read(
        &mut self,
        _section: Section,
        _max: usize,
        _into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        Ok(Progress::End)
    }
}

/// The paths and the time of one client of a clone.
struct CloneTransform {
    k: u32,
    path: PathTemplate,
    shift: ClientShift,
}

impl OperationChange for CloneTransform {
    fn enter_section(&mut self, section: Section) {
        self.shift.enter_section(section);
    }

    fn change(&mut self, operation: &mut Operation) -> Result<bool, String> {
        replace_paths(operation, |path| self.path.path(self.k, path)).map_err(|error| {
            let (id, k) = (operation.op_id(), self.k);
            format!("operation {id} has no valid path in clone {k}: {error}")
        })?;
        self.shift.change(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clones(sizes: &[u32], to: u32) -> (Clones, Vec<u32>) {
        let workloads = sizes.iter().map(|&clients| Workload::new("w", clients)).collect();
        let header = StreamHeader { workloads, ..StreamHeader::default() };
        let clones = Clones::new(&header, to);
        let sizes = clones.workloads(&header).iter().map(|workload| workload.clients).collect();
        (clones, sizes)
    }

    #[test]
    fn clients_are_numbered_clone_by_clone_within_their_workload() {
        let (clones, sizes) = clones(&[2, 0, 1], 8);
        assert_eq!((clones.count, sizes), (3, vec![6, 0, 2]));
        let originals: Vec<_> = (0..9).map(|client| clones.original(client)).collect();
        let expected = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (0, 2), (1, 2)].map(Some);
        assert_eq!(originals, [&expected[..], &[None]].concat());
    }

    #[test]
    fn named_clients_have_named_clones() {
        let names = ["ann".into(), "bo".into()];
        let all = names_of(&names, 5, "clone");
        let all: Vec<&str> = all.iter().map(|name| &**name).collect();
        assert_eq!(all, ["ann", "bo", "clone1/ann", "clone1/bo", "clone2/ann"]);
    }
}
