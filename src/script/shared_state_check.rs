//! A check whether a script's stream depends on how it is made: on the size of batches, on which
//! client is asked first, or on the number of VMs that make it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::checked_sections::CheckedSection;
use super::compared_clients::{MADE_WHOLE, compared_clients, is_made_whole};
use super::error::ScriptError;
use super::options::ScriptOptions;
use super::source::Script;
use crate::ir::document::line::DocumentLine;
use crate::ir::{
    Blob, ClientPartition, HandleOperation, Need, Operation, OperationKind, OperationSource,
    Payload, Progress, Section, SourceError, StreamHeader,
};
use crate::protocol::shortened;

/// The depth of a check. It is bounded by counts and bytes, so that every host comes to the same
/// result. The time limits only end the check of a script that computes too long.
///
/// Every depth makes the setups and the teardowns of the clients that it compares up to the same
/// bounds.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Maximum number of clients that are compared, over all workloads.
    clients: u32,
    /// Maximum number of operations of one client, in each section.
    of_a_client: usize,
    /// Maximum number of operations over all clients, in each section.
    operations: usize,
    /// Maximum memory in bytes of the operations of the iterations.
    bytes: usize,
    /// Maximum number of arrivals that are made of an open loop. For each arrival of one client,
    /// every other client gets one.
    arrivals: usize,
    /// Maximum time for the iterations of one of the two streams.
    time: Duration,
}

impl Depth {
    /// The depth of the check by `validate`.
    pub const THOROUGH: Depth = Depth {
        clients: 1_000,
        of_a_client: 1_000,
        operations: 200_000,
        bytes: BYTES_MADE_ONCE,
        arrivals: 1 << 20,
        time: TIME_MADE_ONCE,
    };

    /// The depth of the check by every run before it connects: fewer operations of the iterations,
    /// so that the check takes a fraction of a second for a script that makes its operations at the
    /// usual speed.
    pub const QUICK: Depth = Depth {
        operations: 50_000,
        bytes: 8 << 20,
        arrivals: 1 << 17,
        time: Duration::from_secs(1),
        ..Depth::THOROUGH
    };

    /// The depth of the check before a run goes on with a later generation of its stream: few
    /// operations of few clients, because the edit takes effect after it. The run makes the first
    /// operations of all clients besides, and finds their errors.
    pub const RELOAD: Depth = Depth { clients: 32, operations: 1_000, ..Depth::QUICK };
}

/// Maximum number of operations of the first batch of a client's section.
const FIRST_BATCH: usize = 7;
/// Number of operations of a setup or teardown that are made for every other client.
const OF_A_SETUP: usize = 64;
/// Maximum number of operations of the setups, and of the teardowns, of the clients that are made
/// whole. A cut setup has no iterations and no teardown, because they may rely on what it leaves in
/// variables of the script. So the bound is the same at every depth.
const OPERATIONS_MADE_ONCE: usize = 200_000;
/// Maximum memory in bytes of the operations of a setup section or a teardown section.
const BYTES_MADE_ONCE: usize = 32 << 20;
/// Maximum time for a setup section or a teardown section of one of the two streams.
const TIME_MADE_ONCE: Duration = Duration::from_secs(2);

/// The way in which a stream is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MakingPlan {
    pub threads: u32,
    batch: usize,
    /// Whether the last client is asked first.
    backwards: bool,
}

impl fmt::Display for MakingPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, "{} {threads} in batches of {}", self.threads, self.batch)
    }
}

/// The result of a check that found no difference: what was compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The header of the stream, with the features that the compared operations need.
    pub header: StreamHeader,
    pub operations: usize,
    /// Number of clients that made any of them.
    pub clients: usize,
    pub ways: [MakingPlan; 2],
    /// The extent to which setup and teardown were compared.
    pub sections: Vec<CheckedSection>,
}

/// The reason why a script cannot be relied on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckError {
    #[error("{0}")]
    Script(#[from] ScriptError),
    #[error("{0}")]
    Source(#[from] SourceError),
    /// The first operation that differs, and the likely reason.
    #[error("{0}")]
    Depends(String),
}

/// Makes the first operations of each client twice, in different ways, and compares them: setup,
/// iterations, and teardown. The teardown is made only for clients whose setup was made whole and
/// whose first iteration has ended, because a script may rely on both.
///
/// # Errors
/// [`CheckError`] if the script cannot be loaded, if its stream breaks off, or for the first
/// operation that differs.
pub fn check(options: &ScriptOptions, depth: Depth) -> Result<Compared, CheckError> {
    let mut one =
        StreamMaker::new(options, MakingPlan { threads: 1, batch: 64, backwards: false }, depth)?;
    let mut header = one.parts[0].header().clone();
    let clients = compared_clients(&header, depth.clients);
    let mut stopped = BTreeSet::new();
    let mut made = Vec::new();
    for (section, clients) in sections(&header, &clients) {
        let goes_on = clients.iter().filter(|client| !stopped.contains(*client));
        let asked =
            |client: &u32| SectionGoal::new(&header, depth, section, *client, clients.len());
        let part = one.make(section, goes_on.map(asked).collect());
        if let Some(error) = part.iter().find_map(|made| made.end.as_ref()?.as_ref().err()) {
            return Err(error.clone().into());
        }
        for operation in part.iter().flat_map(|made| &made.operations) {
            header.add_needs(Need::of(operation));
        }
        let ended = part.iter().filter(|made| !made.leads_on(section, header.bounded));
        stopped.extend(ended.map(|made| made.client));
        let functions = clients.iter().filter(|client| one.parts[0].has(**client, section));
        let checked = CheckedSection {
            section,
            run_wide: clients.first() == Some(&header.workload_clients()),
            functions: functions.count(),
            begun: 0,
            ended: 0,
        };
        made.push((checked, part));
    }
    let script = options.shown_location();
    let first = one.way;
    // The first VM is dropped before the others are made: the memory limit is for all VMs together.
    drop(one);

    let threads = ClientPartition { part: 0, of: 2 }.at_most(header.workload_clients()).of;
    // The first VM has already shown the output of the script.
    let options = ScriptOptions { quiet: true, ..options.clone() };
    let again = |threads| {
        let way = MakingPlan { threads, batch: 7, backwards: true };
        let many = StreamMaker::new(&options, way, depth)?;
        compare((&header, &script), &made, first, many)
    };
    match again(threads) {
        // Two VMs have half of the memory each. A run on one thread may have all of it.
        Err(error) if threads > 1 && error.to_string().contains("--script-memory") => again(1),
        compared => compared,
    }
}

/// Makes the same operations again, and compares them.
fn compare(
    (header, script): (&StreamHeader, &str),
    made: &[(CheckedSection, Vec<MadeSection>)],
    first: MakingPlan,
    mut many: StreamMaker,
) -> Result<Compared, CheckError> {
    let ways = [first, many.way];
    let (mut operations, mut compared) = (0, BTreeSet::new());
    let mut sections = Vec::new();
    let mut cut = BTreeSet::new();
    // Clients for which fewer operations were made than the first time, because time ran out.
    let mut stopped = BTreeSet::new();
    for (checked, made) in made {
        let section = checked.section;
        let goes_on = || made.iter().filter(|made| !stopped.contains(&made.client));
        let again = many.make(section, goes_on().map(SectionGoal::again).collect());
        let differences = goes_on().zip(&again).filter_map(|(one, many)| {
            // The stream does not determine where iterations are cut, and a teardown may depend on
            // it. It must still not fail.
            let comparable = !cut.contains(&one.client) || matches!(many.end, Some(Err(_)));
            difference(one, many).filter(|_| comparable)
        });
        if let Some((_, client, versions)) =
            differences.min_by_key(|(at, client, _)| (*at, *client))
        {
            return Err(depends((header, script), ways, client, versions));
        }
        let fewer = goes_on().zip(&again).filter(|(one, many)| {
            many.end.is_none()
                && (one.end.is_some() || many.operations.len() < one.operations.len())
        });
        let fewer: Vec<u32> = fewer.map(|(one, _)| one.client).collect();
        let begun = again.iter().filter(|made| many.parts[0].has(made.client, section));
        let ended = begun.clone().filter(|made| made.end.is_some());
        let (begun, ended) = (begun.count(), ended.count());
        sections.push(CheckedSection { begun, ended, ..*checked });
        stopped.extend(fewer);
        operations += again.iter().map(|made| made.operations.len()).sum::<usize>();
        let made_any = again.iter().filter(|made| !made.operations.is_empty());
        compared.extend(made_any.map(|made| made.client));
        cut.extend(made.iter().filter(|made| made.end.is_none()).map(|made| made.client));
    }
    compared.remove(&header.workload_clients());
    let (header, clients) = (header.clone(), compared.len());
    Ok(Compared { header, operations, clients, ways, sections })
}

/// Returns the sections in their order, each with its clients. The run-wide client comes first in
/// setup and last in teardown.
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

/// The number of operations to make for a client's section.
struct SectionGoal {
    client: u32,
    most: usize,
    /// Maximum number of operations until the setup, the first iteration or the teardown has ended.
    longest: usize,
}

impl SectionGoal {
    fn new(
        header: &StreamHeader,
        depth: Depth,
        section: Section,
        client: u32,
        clients: usize,
    ) -> SectionGoal {
        let (workload_clients, made_whole) = match header.workload_of(client) {
            Some((at, id)) => {
                let clients = header.workloads[at].clients;
                (clients, is_made_whole(id, clients))
            }
            None => (1, true),
        };
        let share = depth.of_a_client.min(depth.operations / clients.max(1));
        let (most, all) = match section {
            Section::Iteration => {
                (share.min(depth.arrivals / workload_clients.max(1) as usize), depth.operations)
            }
            Section::Setup | Section::Teardown => (share.max(OF_A_SETUP), OPERATIONS_MADE_ONCE),
        };
        let most = most.max(4);
        let whole = clients.min(header.workloads.len() * MADE_WHOLE as usize);
        let longest = if made_whole { most.max(all / whole.max(1)) } else { most };
        SectionGoal { client, most, longest }
    }

    /// Asks for the same operations once more. If the section ended, it asks for one more, which
    /// must not be there the second time either.
    fn again(made: &MadeSection) -> SectionGoal {
        let most = made.operations.len() + usize::from(made.end.is_some());
        SectionGoal { client: made.client, most, longest: most }
    }

    /// Returns the number of operations that are still to be made: to the end of the section or
    /// first iteration if `whole`, otherwise up to `most`.
    fn wanted(&self, whole: bool, section: Section, made: &MadeSection) -> usize {
        let is_whole = section == Section::Iteration && made.has_ended_an_iteration();
        let most = match whole {
            true if is_whole || self.longest == self.most => 0,
            true => self.longest,
            false => self.most,
        };
        most.saturating_sub(made.operations.len())
    }
}

/// The VMs that make a stream in one way.
struct StreamMaker {
    parts: Vec<Script>,
    way: MakingPlan,
    depth: Depth,
}

/// The operations that were made for a client's section.
struct MadeSection {
    client: u32,
    operations: Vec<Operation>,
    /// The end of the section, if it came before the number of operations asked for.
    end: Option<Result<(), SourceError>>,
}

impl MadeSection {
    fn has_ended_an_iteration(&self) -> bool {
        self.operations.last().is_some_and(|operation| operation.iteration > 0)
    }

    /// Returns whether the client's next section may be made. It may rely on a whole setup. In a
    /// stream that may be cut anywhere it may rely on one whole iteration, and in a stream that
    /// ends by itself on all of them.
    fn leads_on(&self, section: Section, bounded: bool) -> bool {
        let cut = section == Section::Iteration && !bounded && self.has_ended_an_iteration();
        cut || matches!(self.end, Some(Ok(())))
    }
}

impl StreamMaker {
    fn new(
        options: &ScriptOptions,
        way: MakingPlan,
        depth: Depth,
    ) -> Result<StreamMaker, ScriptError> {
        let load =
            |part| Script::load_partition(options, ClientPartition { part, of: way.threads });
        let parts = (0..way.threads).map(load).collect::<Result<_, _>>()?;
        Ok(StreamMaker { parts, way, depth })
    }

    /// Asks clients in turn, one batch each, until the operations asked for are made: first for the
    /// clients whose sections are made whole, then for all.
    fn make(&mut self, section: Section, asked: Vec<SectionGoal>) -> Vec<MadeSection> {
        let clients = asked.iter().map(|asked| asked.client);
        let mut all: Vec<MadeSection> = clients
            .map(|client| MadeSection { client, operations: Vec::new(), end: None })
            .collect();
        let (time, mut room_bytes) = match section {
            Section::Iteration => (self.depth.time, self.depth.bytes),
            Section::Setup | Section::Teardown => (TIME_MADE_ONCE, BYTES_MADE_ONCE),
        };
        let deadline = Instant::now() + time;
        let mut order: Vec<usize> = (0..all.len()).collect();
        if self.way.backwards {
            order.reverse();
        }
        // First those that are made whole, to the end of their sections, then all.
        for whole in [true, false] {
            let mut waiting = order.clone();
            waiting.retain(|at| all[*at].end.is_none());
            while !waiting.is_empty() {
                waiting.retain(|at| {
                    if Instant::now() >= deadline || room_bytes == 0 {
                        return false;
                    }
                    let made = &mut all[*at];
                    // Requests only a few operations at once, or as many as were made before, because
                    // the time is checked only between batches, and a script may compute long for each
                    // operation.
                    let batch = self.way.batch.min(made.operations.len().max(FIRST_BATCH));
                    let wanted = batch.min(asked[*at].wanted(whole, section, made));
                    if wanted == 0 {
                        return false;
                    }
                    let workload_clients = self.parts[0].header().workload_clients();
                    let part =
                        ClientPartition::part_of(made.client, workload_clients, self.way.threads);
                    let script = &mut self.parts[part as usize];
                    let before = made.operations.len();
                    made.end = match script.pull(made.client, section, wanted, &mut made.operations)
                    {
                        Ok(Progress::More) => None,
                        Ok(Progress::End) => Some(Ok(())),
                        Err(error) => Some(Err(error)),
                    };
                    let made_now = &mut made.operations[before..];
                    made_now.iter_mut().for_each(forget_bytes);
                    let bytes: usize = made_now.iter().map(Operation::memory_bytes).sum();
                    room_bytes = room_bytes.saturating_sub(bytes);
                    made.end.is_none()
                });
            }
        }
        all
    }
}

/// Drops the bytes of a file, because two writes are compared by its path.
fn forget_bytes(operation: &mut Operation) {
    if let OperationKind::OnHandle(_, HandleOperation::Write { payload: Payload::Blob(blob), .. }) =
        &mut operation.kind
    {
        *blob = Arc::new(Blob::new(Arc::clone(&blob.path)));
    }
}

/// Returns the first difference between the two, if there is one: the index of the operation in the
/// section, the client, and both versions.
fn difference<'a>(
    one: &'a MadeSection,
    many: &'a MadeSection,
) -> Option<(usize, u32, [MadeVersion<'a>; 2])> {
    let both = one.operations.iter().zip(&many.operations);
    let at = both.take_while(|(one, many)| one == many).count();
    let versions = [made_at(one, at)?, made_at(many, at)?];
    let same = matches!(versions, [Ok(None), Ok(None)]);
    (!same).then_some((at, one.client, versions))
}

/// An operation as it was made in one way: the operation, none if the section had ended, or an
/// error.
type MadeVersion<'a> = Result<Option<&'a Operation>, &'a SourceError>;

/// Returns `None` if the operation was not asked for, or not made because time ran out.
fn made_at(made: &MadeSection, at: usize) -> Option<MadeVersion<'_>> {
    match made.operations.get(at) {
        Some(operation) => Some(Ok(Some(operation))),
        None => made.end.as_ref().map(|end| end.as_ref().map(|()| None)),
    }
}

fn depends(
    (header, script): (&StreamHeader, &str),
    ways: [MakingPlan; 2],
    client: u32,
    versions: [MadeVersion<'_>; 2],
) -> CheckError {
    let operations = versions.map(|version| version.ok().flatten());
    let op_id = operations.iter().flatten().map(|operation| operation.op_id()).next();
    let op_id = op_id.unwrap_or_default();
    let fields = operations.map(|operation| operation.map(fields).unwrap_or_default());
    let [one, many] = [0, 1].map(|at| match versions[at] {
        Ok(Some(_)) => in_short(&fields[at], &fields[1 - at]),
        Ok(None) => "not there".into(),
        Err(error) => format!("an error ({error})"),
    });
    CheckError::Depends(format!(
        "{script}: the stream depends on how it is made: operation {op_id} (client {}) is {one} from {}, and {many} from {}; most likely clients share something that changes, an upvalue (a local variable outside of setup, iteration and teardown) or a table in one: keep it inside the function or by client (t[c.id]), and make it from c.id, c.iteration and rng",
        header.client_name(client),
        ways[0],
        ways[1]
    ))
}

/// Maximum number of characters of one value that are shown.
const MAX_SHOWN: usize = 80;

/// Returns the fields as a version 2 document writes them.
fn fields(operation: &Operation) -> Map<String, Value> {
    match serde_json::to_value(DocumentLine::from_operation(operation)) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Returns the type, the path, and the fields that differ from the other version.
fn in_short(fields: &Map<String, Value>, other: &Map<String, Value>) -> String {
    let mut shown = fields["type"].as_str().unwrap_or_default().to_lowercase();
    for (name, value) in fields {
        let differs = !other.is_empty() && other.get(name) != Some(value);
        if name == "type" || (name != "path" && !differs) {
            continue;
        }
        shown += &format!(" {name}={}", shortened(&value.to_string(), MAX_SHOWN));
    }
    shown
}
