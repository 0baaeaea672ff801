//! Whether a script's stream depends on how it is made: on the size of batches,
//! on which client is asked first, or on how many machines make it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::{Script, ScriptError, ScriptOptions};
use crate::ir::document::line::Line;
use crate::ir::{
    Need, Operation, OperationSource, Progress, Section, Share, SourceError, StreamHeader,
};

/// The most operations that are compared of one client, in each section.
const MOST_OF_A_CLIENT: usize = 1_000;
/// Over all clients, in each section.
const MOST: usize = 200_000;
/// The memory that the operations of a stream may take, as they are kept.
const MOST_BYTES: usize = 128 << 20;
/// The clients compared: the first of each workload.
const MOST_CLIENTS: u32 = 1_000;
/// Arrivals of an open loop that are made: for each of one client's, every
/// other client gets one.
const MOST_ARRIVALS: usize = 1 << 20;
/// For each of the two streams.
const MOST_TIME: Duration = Duration::from_secs(5);

/// How a stream is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub threads: u32,
    pub batch: usize,
    /// The last client is asked first.
    backwards: bool,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, "{} {threads} in batches of {}", self.threads, self.batch)
    }
}

/// What was compared, and found to be the same.
#[derive(Clone, Debug)]
pub struct Compared {
    /// With the needs of the operations compared.
    pub header: StreamHeader,
    pub operations: usize,
    /// That made any of them.
    pub clients: usize,
    pub ways: [Way; 2],
}

/// Why a script cannot be relied on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckError {
    #[error("{0}")]
    Script(#[from] ScriptError),
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error(
        "{script}: the stream depends on how it is made: operation {op_id} (client {client}) is {} from {}, and {} from {}; most likely clients share something that changes, an upvalue (a local variable outside of setup, iteration and teardown) or a table in one: keep it inside the function or by client (t[c.id]), and make it from c.id, c.iteration and rng",
        versions[0], ways[0], versions[1], ways[1]
    )]
    Depends {
        script: String,
        op_id: String,
        client: String,
        /// The operation in short, of each way.
        versions: Box<[String; 2]>,
        ways: [Way; 2],
    },
}

/// Makes the first operations of each client twice, in different ways, and
/// compares them. Bounded in operations and in time.
///
/// # Errors
/// [`CheckError`]: the script cannot be loaded, its stream breaks off, or the
/// first operation that differs.
pub fn check(options: &ScriptOptions) -> Result<Compared, CheckError> {
    let mut one = Making::new(options, Way { threads: 1, batch: 64, backwards: false })?;
    let mut header = one.parts[0].header().clone();
    let clients = compared_clients(&header);
    let mut made = Vec::new();
    for (section, clients) in sections(&header, &clients) {
        let most = |client: &u32| (*client, most_of(&header, *client, clients.len()));
        let part = one.make(section, clients.iter().map(most).collect());
        if let Some(error) = part.iter().find_map(|made| made.end.as_ref()?.as_ref().err()) {
            return Err(error.clone().into());
        }
        for operation in part.iter().flat_map(|made| &made.operations) {
            header.add_needs(Need::of(operation));
        }
        made.push((section, part));
    }
    let first = one.way;
    // Before there are others: the limit of memory is for all machines together.
    drop(one);

    let threads = Share { part: 0, of: 2 }.at_most(header.workload_clients()).of;
    // The first has printed what there is to read.
    let options = ScriptOptions { quiet: true, ..options.clone() };
    let mut many = Making::new(&options, Way { threads, batch: 7, backwards: true })?;
    let ways = [first, many.way];
    let (mut operations, mut compared) = (0, BTreeSet::new());
    for (section, made) in made {
        // One more where there is none: it must not be there the second time.
        let ended = |made: &Made| usize::from(made.end.is_some());
        let asked = |made: &Made| (made.client, made.operations.len() + ended(made));
        let again = many.make(section, made.iter().map(asked).collect());
        let differences = made.iter().zip(&again).filter_map(|(one, many)| difference(one, many));
        if let Some((_, client, versions)) =
            differences.min_by_key(|(at, client, _)| (*at, *client))
        {
            return Err(depends(&header, ways, client, versions));
        }
        operations += again.iter().map(|made| made.operations.len()).sum::<usize>();
        let made_any = again.iter().filter(|made| !made.operations.is_empty());
        compared.extend(made_any.map(|made| made.client));
    }
    compared.remove(&header.workload_clients());
    Ok(Compared { header, operations, clients: compared.len(), ways })
}

/// In their order, each with its clients: the run-wide one around all others.
fn sections(header: &StreamHeader, clients: &[u32]) -> [(Section, Vec<u32>); 5] {
    let run_client = if header.run_client { vec![header.workload_clients()] } else { Vec::new() };
    [
        (Section::Setup, run_client.clone()),
        (Section::Setup, clients.to_vec()),
        (Section::Iteration, clients.to_vec()),
        (Section::Teardown, clients.to_vec()),
        (Section::Teardown, run_client),
    ]
}

fn compared_clients(header: &StreamHeader) -> Vec<u32> {
    let of_each = (MOST_CLIENTS / header.workloads.len().max(1) as u32).max(2);
    let mut first = 0;
    let mut clients = Vec::new();
    for workload in &header.workloads {
        clients.extend(first..first + workload.clients.min(of_each));
        first += workload.clients;
    }
    clients
}

fn most_of(header: &StreamHeader, client: u32, clients: usize) -> usize {
    let workload = header.workload_of(client).map_or(1, |(at, _)| header.workloads[at].clients);
    MOST_OF_A_CLIENT.min(MOST / clients.max(1)).min(MOST_ARRIVALS / workload.max(1) as usize).max(4)
}

/// The machines that make a stream in one way.
struct Making {
    parts: Vec<Script>,
    way: Way,
    deadline: Instant,
    /// For further operations.
    room_bytes: usize,
}

/// What was made of a client's section.
struct Made {
    client: u32,
    operations: Vec<Operation>,
    /// How it ended, if it did before the operations asked for.
    end: Option<Result<(), SourceError>>,
}

impl Making {
    fn new(options: &ScriptOptions, way: Way) -> Result<Making, ScriptError> {
        let load = |part| Script::load_share(options, Share { part, of: way.threads });
        let parts = (0..way.threads).map(load).collect::<Result<_, _>>()?;
        let deadline = Instant::now() + MOST_TIME;
        Ok(Making { parts, way, deadline, room_bytes: MOST_BYTES })
    }

    /// Asks clients in turn, a batch of each, for as many operations as are
    /// named with them.
    fn make(&mut self, section: Section, asked: Vec<(u32, usize)>) -> Vec<Made> {
        let made = |(client, _): &(u32, usize)| Made {
            client: *client,
            operations: Vec::new(),
            end: None,
        };
        let mut all: Vec<Made> = asked.iter().map(made).collect();
        let mut waiting: Vec<usize> = (0..all.len()).collect();
        if self.way.backwards {
            waiting.reverse();
        }
        while !waiting.is_empty() {
            waiting.retain(|at| {
                if Instant::now() >= self.deadline || self.room_bytes == 0 {
                    return false;
                }
                let (made, most) = (&mut all[*at], asked[*at].1);
                let wanted = self.way.batch.min(most - made.operations.len());
                if wanted == 0 {
                    return false;
                }
                let workload_clients = self.parts[0].header().workload_clients();
                let part = Share::part_of(made.client, workload_clients, self.way.threads);
                let script = &mut self.parts[part as usize];
                let before = made.operations.len();
                made.end = match script.pull(made.client, section, wanted, &mut made.operations) {
                    Ok(Progress::More) => None,
                    Ok(Progress::End) => Some(Ok(())),
                    Err(error) => Some(Err(error)),
                };
                let made_now = made.operations[before..].iter();
                let bytes: usize = made_now.map(Operation::memory_bytes).sum();
                self.room_bytes = self.room_bytes.saturating_sub(bytes);
                made.end.is_none()
            });
        }
        all
    }
}

/// Where the two differ, if they do: in which operation of the section, of
/// which client, and what is there instead of what.
fn difference<'a>(one: &'a Made, many: &'a Made) -> Option<(usize, u32, [Version<'a>; 2])> {
    let both = one.operations.iter().zip(&many.operations);
    let at = both.take_while(|(one, many)| one == many).count();
    let versions = [Version::of(one, at)?, Version::of(many, at)?];
    let same = matches!(versions, [Version::End, Version::End]);
    (!same).then_some((at, one.client, versions))
}

enum Version<'a> {
    Operation(&'a Operation),
    End,
    Error(&'a SourceError),
}

impl Version<'_> {
    /// None where it was not asked for, or not made for lack of time.
    fn of(made: &Made, at: usize) -> Option<Version<'_>> {
        match (made.operations.get(at), &made.end) {
            (Some(operation), _) => Some(Version::Operation(operation)),
            (None, Some(Err(error))) => Some(Version::Error(error)),
            (None, Some(Ok(()))) => Some(Version::End),
            (None, None) => None,
        }
    }
}

fn depends(
    header: &StreamHeader,
    ways: [Way; 2],
    client: u32,
    versions: [Version<'_>; 2],
) -> CheckError {
    let id = |version: &Version<'_>| match version {
        Version::Operation(operation) => Some(operation.op_id()),
        Version::End | Version::Error(_) => None,
    };
    let op_id = versions.iter().find_map(id).unwrap_or_default();
    let fields = versions.each_ref().map(|version| match version {
        Version::Operation(operation) => fields(operation),
        Version::End | Version::Error(_) => Map::new(),
    });
    let [one, many] = [(&versions[0], 0), (&versions[1], 1)].map(|(version, at)| match version {
        Version::Operation(_) => in_short(&fields[at], &fields[1 - at]),
        Version::End => "not there".into(),
        Version::Error(error) => format!("an error ({error})"),
    });
    CheckError::Depends {
        script: header.source.clone(),
        op_id,
        client: header.client_name(client),
        versions: Box::new([one, many]),
        ways,
    }
}

/// The most of one value that is shown.
const MAX_SHOWN: usize = 80;

/// As a version 2 document writes it.
fn fields(operation: &Operation) -> Map<String, Value> {
    match serde_json::to_value(Line::from_operation(operation)) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The type, the path, and what is not the same in the other version.
fn in_short(fields: &Map<String, Value>, other: &Map<String, Value>) -> String {
    let mut shown = fields["type"].as_str().unwrap_or_default().to_lowercase();
    for (name, value) in fields {
        let differs = !other.is_empty() && other.get(name) != Some(value);
        if name == "type" || (name != "path" && !differs) {
            continue;
        }
        let value = value.to_string();
        let (end, more) = match value.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => (end, "…"),
            None => (value.len(), ""),
        };
        shown += &format!(" {name}={}{more}", &value[..end]);
    }
    shown
}
