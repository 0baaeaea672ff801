//! The merge of several streams into one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::chain::{ChainReader, number_handle, number_step};
use super::section_cursor::{SectionCursor, SectionRequest};
use super::stream::{
    ClientReader, OperationStream, Origin, StagePlace, StreamFacts, TransformError,
};
use crate::ir::workloads::{MAX_CLIENTS, MAX_WORKLOADS};
use crate::ir::{Due, Operation, Progress, Section, SourceError, StreamHeader, Workload};

/// Maximum number of clients of documents that are joined into one. Each is read by itself.
const MAX_JOINED: u32 = 1_000;

/// An input of a merge.
pub struct MergeInput {
    /// If the input has a name, its workloads and named clients are prefixed with it, unless the
    /// inputs are joined.
    pub name: Option<String>,
    pub stream: Rc<dyn OperationStream>,
}

/// Merges streams into one, which has the clients of all.
///
/// A client is named `<input>/<client>`, if the input has a name. With `join`, names stay as they
/// are, and clients of the same name in the same workload are one client, which performs the
/// operations of each in the order of time; their iterations must name times from time zero. A merge
/// of one stream is the stream itself.
///
/// # Errors
/// [`TransformError`] if there are too many clients, or if the inputs have different phases.
pub fn merge(
    inputs: Vec<MergeInput>,
    join: bool,
    place: StagePlace,
) -> Result<Rc<dyn OperationStream>, TransformError> {
    let mut inputs = inputs;
    if inputs.len() < 2 {
        let only = inputs.pop().ok_or_else(|| place.refuse("there is no stream to merge"))?;
        return Ok(only.stream);
    }
    let mut workloads: Vec<MergedWorkload> = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        let header = &input.stream.facts().header;
        let of_input = |name: &str| match &input.name {
            Some(input) if !join => format!("{input}/{name}"),
            _ => name.to_string(),
        };
        let mut client = 0;
        for workload in &header.workloads {
            let known = workloads.iter().position(|it| join && it.name == *workload.name);
            let merged = match known {
                Some(at) => &mut workloads[at],
                None => {
                    workloads.push(MergedWorkload::new(&of_input(&workload.name), workload));
                    let last = workloads.len() - 1;
                    &mut workloads[last]
                }
            };
            for id in 0..workload.clients {
                let name: Arc<str> = match &workload.client_names {
                    Some(names) => of_input(&names[id as usize]).into(),
                    None => of_input(&format!("{}/{id}", workload.name)).into(),
                };
                merged.add(name, InputClient { input: number as u32, client });
                client += 1;
            }
            merged.named |= workload.client_names.is_some();
        }
    }
    let clients: usize = workloads.iter().map(|workload| workload.sources.len()).sum();
    if clients > MAX_CLIENTS as usize {
        return Err(place.refuse(format!("{clients} clients; at most {MAX_CLIENTS} are possible")));
    }
    if workloads.len() > MAX_WORKLOADS {
        let count = workloads.len();
        return Err(
            place.refuse(format!("{count} workloads; at most {MAX_WORKLOADS} are possible"))
        );
    }
    let facts = facts(&inputs, &workloads, &place)?;
    if let Some(twice) = name_of_two_clients(&facts.header.workloads) {
        return Err(place.refuse(format!(
            "two clients of the merged stream would be named {twice:?}; bench.merge {{ day = …, night = … }} names them apart"
        )));
    }
    let sources = workloads.into_iter().flat_map(|workload| workload.sources).collect();
    Ok(Rc::new(Merged {
        inputs: Rc::new(inputs.into_iter().map(|input| input.stream).collect()),
        facts: Rc::new(facts),
        sources,
        place,
    }))
}

/// A client of one of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InputClient {
    input: u32,
    client: u32,
}

struct MergedWorkload {
    name: String,
    /// The first of the workloads that it is merged from.
    first: Workload,
    /// Whether its clients have names of their own.
    named: bool,
    /// The place of each client in `names` and `sources`.
    known: HashMap<Arc<str>, usize>,
    names: Vec<Arc<str>>,
    /// The clients of the inputs that each client is made of.
    sources: Vec<Vec<InputClient>>,
}

impl MergedWorkload {
    fn new(name: &str, first: &Workload) -> MergedWorkload {
        MergedWorkload {
            name: name.to_string(),
            first: first.clone(),
            named: false,
            known: HashMap::new(),
            names: Vec::new(),
            sources: Vec::new(),
        }
    }

    fn add(&mut self, name: Arc<str>, source: InputClient) {
        let next = self.names.len();
        let at = *self.known.entry(Arc::clone(&name)).or_insert(next);
        if at == next {
            self.names.push(name);
            self.sources.push(Vec::new());
        }
        self.sources[at].push(source);
    }

    fn workload(&self) -> Workload {
        Workload {
            name: self.name.as_str().into(),
            clients: self.sources.len() as u32,
            client_names: self.named.then(|| self.names.clone().into()),
            ..self.first.clone()
        }
    }
}

/// Returns a name that two clients have, or two workloads whose clients have none. A document
/// could not hold them.
fn name_of_two_clients(workloads: &[Workload]) -> Option<&str> {
    let mut known = HashSet::new();
    let names = workloads.iter().flat_map(|workload| match &workload.client_names {
        Some(names) => &**names,
        None => std::slice::from_ref(&workload.name),
    });
    names.map(|name| &**name).find(|name| !known.insert(*name))
}

fn facts(
    inputs: &[MergeInput],
    workloads: &[MergedWorkload],
    place: &StagePlace,
) -> Result<StreamFacts, TransformError> {
    let all = || inputs.iter().map(|input| input.stream.facts());
    let mut header = StreamHeader {
        seed: place.seed,
        workloads: workloads.iter().map(MergedWorkload::workload).collect(),
        run_client: all().any(|facts| facts.header.run_client),
        bounded: all().all(|facts| facts.header.bounded),
        ..StreamHeader::default()
    };
    for facts in all() {
        header.add_needs(facts.header.needs.iter().cloned());
        let phases = &facts.header.phases;
        if !phases.is_empty() && header.phases.is_empty() {
            header.phases = phases.clone();
        } else if !phases.is_empty() && header.phases != *phases {
            return Err(place.refuse(
                "the streams have different phases; take the phases out of all documents but one",
            ));
        }
    }
    if all().any(|facts| facts.header.active.is_some()) {
        let is_active = |source: &InputClient| {
            let active = &inputs[source.input as usize].stream.facts().header.active;
            active.as_ref().is_none_or(|active| active.binary_search(&source.client).is_ok())
        };
        let sources = workloads.iter().flat_map(|workload| &workload.sources);
        let active = (0..).zip(sources).filter(|(_, sources)| sources.iter().any(is_active));
        let mut active: Vec<u32> = active.map(|(client, _)| client).collect();
        active.extend(header.run_client.then(|| header.workload_clients()));
        header.active = Some(active.into());
    }
    let length_ns = all().map(|facts| facts.length_ns).max().unwrap_or(0);
    let joined = |sources: &Vec<InputClient>| {
        let of =
            |source: &InputClient| u64::from(inputs[source.input as usize].stream.facts().joined);
        sources.iter().map(of).sum::<u64>()
    };
    let joined = workloads.iter().flat_map(|workload| &workload.sources).map(joined).max();
    let joined = match u32::try_from(joined.unwrap_or(1)) {
        Ok(joined @ 0..=MAX_JOINED) => joined,
        _ => {
            return Err(place.refuse(format!(
                "a client would be joined of more than {MAX_JOINED} clients; merge without join, so that they stay apart"
            )));
        }
    };
    Ok(StreamFacts { header, length_ns, ids_stay_unique: false, joined })
}

struct Merged {
    inputs: Rc<Vec<Rc<dyn OperationStream>>>,
    facts: Rc<StreamFacts>,
    /// The clients of the inputs that each client is made of.
    sources: Vec<Vec<InputClient>>,
    place: StagePlace,
}

impl OperationStream for Merged {
    fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    fn reader(&self, client: u32) -> Box<dyn ClientReader> {
        let inputs = Rc::clone(&self.inputs);
        let Some(sources) = self.sources.get(client as usize) else {
            let have: Vec<usize> = (0..inputs.len())
                .filter(|input| inputs[*input].facts().header.run_client)
                .collect();
            return Box::new(ChainReader::new(have.len() as u32, move |link| {
                let input = &inputs[have[link as usize]];
                (input.reader(input.facts().header.workload_clients()), Vec::new())
            }));
        };
        let reader = |source: &InputClient| inputs[source.input as usize].reader(source.client);
        if let [only] = &sources[..] {
            return reader(only);
        }
        let parts = sources.iter().map(|source| JoinedPart::new(reader(source)));
        Box::new(JoinedReader {
            parts: parts.collect(),
            client: self.facts.header.client_name(client),
            place: Rc::clone(&self.place.name),
            section: SectionCursor::default(),
            iteration: 0,
        })
    }

    fn origin(&self, client: u32) -> Option<Origin> {
        let [InputClient { input, client }] = self.sources.get(client as usize)?[..] else {
            return None;
        };
        let mut origin = self.inputs[input as usize].origin(client)?;
        origin.copy.push(input);
        Some(origin)
    }
}

/// A reader of a client that performs the operations of several clients.
struct JoinedReader {
    parts: Vec<JoinedPart>,
    client: String,
    /// The beginning of an error.
    place: Rc<str>,
    section: SectionCursor,
    /// The number of the last operation's iteration.
    iteration: u32,
}

struct JoinedPart {
    reader: Box<dyn ClientReader>,
    ahead: VecDeque<Operation>,
    /// The end of the section, or the error that follows the operations ahead. None: there is
    /// more to read.
    end: Option<Result<(), SourceError>>,
}

impl JoinedPart {
    fn new(reader: Box<dyn ClientReader>) -> JoinedPart {
        JoinedPart { reader, ahead: VecDeque::new(), end: None }
    }

    /// Returns the next operation, if there is one.
    fn next(&mut self, section: Section, batch: usize) -> Result<Option<&Operation>, SourceError> {
        if self.ahead.is_empty() && self.end.is_none() {
            let mut read = Vec::new();
            self.end = match self.reader.read(section, batch, &mut read) {
                Ok(Progress::More) => None,
                Ok(Progress::End) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            };
            self.ahead = read.into();
        }
        match (self.ahead.front(), &self.end) {
            (None, Some(Err(error))) => Err(error.clone()),
            (next, _) => Ok(next),
        }
    }
}

impl JoinedReader {
    /// Returns the part whose next operation is the earliest, if any has one.
    fn earliest(&mut self, section: Section, batch: usize) -> Result<Option<usize>, SourceError> {
        let mut earliest: Option<(u64, usize)> = None;
        for (at, part) in self.parts.iter_mut().enumerate() {
            let Some(next) = part.next(section, batch)? else { continue };
            if next.step.is_some() && section == Section::Iteration {
                let id = next.op_id();
                return Err(SourceError {
                    message: format!(
                        "{}: operation {id} belongs to a step, and joined clients would make other operations in the middle of it; merge without join, so that they stay apart",
                        self.place
                    ),
                    client: Some(self.client.clone()),
                });
            }
            let due_ns = match next.due {
                Due::At(at_ns) => at_ns,
                // Setups and teardowns follow one another, however long they take.
                _ if section != Section::Iteration => return Ok(Some(at)),
                Due::After(_) | Due::Arrival { .. } => {
                    let id = next.op_id();
                    return Err(SourceError {
                        message: format!(
                            "{}: operation {id} names no time from time zero, so that clients cannot be joined in the order of time; merge without join, so that they stay apart",
                            self.place
                        ),
                        client: Some(self.client.clone()),
                    });
                }
            };
            if earliest.is_none_or(|(ns, _)| due_ns < ns) {
                earliest = Some((due_ns, at));
            }
        }
        Ok(earliest.map(|(_, at)| at))
    }
}

impl ClientReader for JoinedReader {
    fn read(
        &mut self,
        section: Section,
        max: usize,
        into: &mut Vec<Operation>,
    ) -> Result<Progress, SourceError> {
        match self.section.request(section) {
            SectionRequest::Left => return Ok(Progress::End),
            SectionRequest::Entered => {
                self.iteration = 0;
                for part in &mut self.parts {
                    part.ahead.clear();
                    part.end = None;
                }
            }
            SectionRequest::Continued => {}
        }
        let parts = self.parts.len() as u32;
        let most = into.len() + max.max(1);
        while into.len() < most {
            let Some(at) = self.earliest(section, most - into.len())? else {
                return Ok(Progress::End);
            };
            let Some(mut operation) = self.parts[at].ahead.pop_front() else { break };
            number_step(&mut operation, at as u32, parts);
            number_handle(&mut operation, at as u32, parts)?;
            self.iteration = self.iteration.max(operation.iteration);
            operation.iteration = self.iteration;
            into.push(operation);
        }
        Ok(Progress::More)
    }
}
