//! Reloads at random moments: no operation is lost, doubled, or sent on a handle of another
//! generation, and every client moves at a boundary.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use smbench::backend::BackendCapabilities;
use smbench::backend::Clock;
use smbench::ir::event::{FIRST_GENERATION, IterationOutcome, MoveEvent};
use smbench::ir::{
    CompletionEvent, CompletionStatus, Due, Event, Failure, HandleOperation, HandleRef, Operation,
    OperationKind, Section, StreamHeader, Workload, roster,
};
use smbench::observability::{GenerationFacts, Generations, Layout};
use smbench::protocol::NtStatus;
use smbench::scheduler::client::ClientSettings;
use smbench::scheduler::engine::{EngineConfig, Generation, GenerationTimes};
use smbench::scheduler::reload::{Reached, ReloadOrder, ReloadReport, ShardLines, ShardReload};
use smbench::scheduler::virtual_time::VirtualClock;
use smbench::scheduler::{Stage, StageCoordinator};

use super::checks::totals;
use super::generate;
use super::run::{Delivered, Outcome};
use super::scenario::{Ending, PlannedReload, Scenario};
use super::workload::{Dice, Stream};

const MS: u64 = 1_000_000;

/// The run's part in a reload, as the simulation plays it.
pub struct Reloading<'a> {
    pub scenario: &'a Scenario,
    pub clock: &'a VirtualClock,
    pub coordinator: &'a StageCoordinator,
    pub capabilities: &'a Arc<BackendCapabilities>,
    pub delivered: &'a Delivered,
    pub engine: &'a Arc<EngineConfig>,
    pub client: &'a Arc<ClientSettings>,
    pub generations: &'a RefCell<Generations>,
}

impl Scenario {
    /// Returns whether the figures of its generations are checked. Percentiles take longer than the
    /// run, so they are for every eighth seed.
    pub fn counts_by_generation(&self) -> bool {
        !self.reloads.is_empty() && self.seed.is_multiple_of(8)
    }
}

/// Returns the layout of the run in each generation. Clients that the first one does not have
/// belong to a workload of their own.
pub fn layouts(scenario: &Scenario) -> BTreeMap<u32, Arc<Layout>> {
    let first = &scenario.stream.header;
    let late_bound = Duration::from_millis(10);
    let mut header = Arc::new(first.clone());
    let mut layout = Arc::new(Layout::new(header.clone(), first.phases.clone(), late_bound));
    let mut layouts = BTreeMap::from([(FIRST_GENERATION, layout.clone())]);
    for (number, reload) in (FIRST_GENERATION + 1..).zip(&scenario.reloads) {
        let last = reload.clients.iter().max().map_or(0, |last| last + 1);
        let joined = Workload::new("joined", last.saturating_sub(first.clients()));
        let workloads = first.workloads.iter().cloned().chain([joined]).collect();
        let next = StreamHeader { workloads, ..first.clone() };
        let (grown, _) = roster::next_header(&header, &next).expect("there are few clients");
        header = Arc::new(grown);
        layout = Arc::new(layout.grown(header.clone()));
        layouts.insert(number, layout.clone());
    }
    layouts
}

impl Reloading<'_> {
    /// Reloads the stream when the scenario says so. Returns the generations that were accepted,
    /// and those that have settled in every shard.
    pub async fn follow(self, mut lines: ShardLines) -> (Vec<u32>, Vec<u32>) {
        let (mut accepted, mut settled) = (Vec::new(), BTreeMap::<u32, usize>::new());
        let shards = self.scenario.shards;
        let mut note = |report: &ReloadReport| {
            if report.reached == Reached::Settled {
                let settled = settled.entry(report.generation).or_default();
                *settled += 1;
                if *settled == shards {
                    let mut generations = self.generations.borrow_mut();
                    (FIRST_GENERATION..report.generation).for_each(|it| generations.retire(it));
                }
            }
        };
        'reloads: for (number, reload) in (FIRST_GENERATION + 1..).zip(&self.scenario.reloads) {
            self.clock.sleep_until(reload.at_ns).await;
            let mut orders = self.coordinator.subscribe();
            while orders.borrow().orders.stage < Stage::Measure {
                if orders.changed().await.is_err() {
                    break 'reloads;
                }
            }
            if !self.is_measuring() {
                break;
            }
            self.generations.borrow_mut().begin(self.zero_ns());
            for shard in 0..shards {
                lines
                    .order(shard, ReloadOrder::Prepare(Box::new(self.part(number, reload, shard))));
            }
            let (mut fetched, mut whole) = (0, true);
            while fetched < shards {
                let report = poll_fn(|cx| lines.reports.poll_recv(cx));
                let changed = std::pin::pin!(orders.changed());
                match select(report, changed).await {
                    Either::Left((Some(report), _)) => {
                        note(&report);
                        if let Reached::Fetched { attempt, result } = &report.reached
                            && *attempt == u64::from(number)
                        {
                            fetched += 1;
                            whole &= result.is_ok();
                        }
                    }
                    Either::Left((None, _)) => break 'reloads,
                    Either::Right(_) if self.is_measuring() => {}
                    Either::Right(_) => break 'reloads,
                }
            }
            let now_ns = self.clock.now_ns();
            let begin_ns = now_ns + 20_000;
            let times = GenerationTimes {
                begin_ns,
                planned_ns: begin_ns,
                cut_ns: begin_ns + reload.grace_ns,
            };
            let comes = whole && !reload.withdrawn;
            // One that is withdrawn keeps its number here, so that it is in the list, too.
            let started_ns = now_ns.saturating_sub(self.zero_ns());
            let facts = GenerationFacts { number, started_ns, ..GenerationFacts::default() };
            self.generations.borrow_mut().add(facts);
            for shard in 0..shards {
                lines.order(
                    shard,
                    match comes {
                        true => ReloadOrder::Begin { generation: number, times },
                        false => ReloadOrder::Withdraw { generation: number },
                    },
                );
            }
            if comes {
                accepted.push(number);
            }
        }
        while let Some(report) = poll_fn(|cx| lines.reports.poll_recv(cx)).await {
            note(&report);
        }
        let settled = settled.into_iter().filter(|(_, of)| *of == shards).map(|(number, _)| number);
        (accepted, settled.collect())
    }

    fn is_measuring(&self) -> bool {
        let timeline = self.coordinator.timeline();
        timeline.orders.stage == Stage::Measure && !timeline.orders.cut
    }

    fn zero_ns(&self) -> u64 {
        self.coordinator.timeline().measured_ns().map_or(0, |(zero_ns, _)| zero_ns)
    }

    fn part(&self, number: u32, reload: &PlannedReload, shard: usize) -> ShardReload {
        let own = reload
            .clients
            .iter()
            .filter(|client| **client as usize % self.scenario.shards == shard);
        ShardReload {
            attempt: u64::from(number),
            generation: Generation {
                number,
                config: self.engine.clone(),
                clients: own.map(|client| (*client, reload.set_up_again)).collect(),
            },
            feed: Box::new(self.scenario.feed(
                &reload.stream,
                self.clock,
                self.capabilities,
                self.delivered,
            )),
            client: self.client.clone(),
        }
    }
}

/// Returns a random scenario with one to five reloads.
fn random(seed: u64) -> Option<Scenario> {
    let mut scenario = Scenario::random(seed);
    if scenario.caching {
        return None;
    }
    let mut dice = Dice(seed ^ 0x4E10_AD00);
    scenario.operations = dice.chance(20).then(|| dice.roll(400));
    let first = scenario.stream.clone();
    for _ in 0..1 + dice.roll(5) {
        scenario.reloads.push(PlannedReload {
            at_ns: dice.roll(60 * MS),
            stream: generation(&mut dice, &first),
            clients: Vec::new(),
            set_up_again: dice.chance(20),
            grace_ns: if dice.chance(30) { dice.roll(5 * MS) } else { 30_000 * MS },
            withdrawn: dice.chance(10),
        });
    }
    scenario.reloads.sort_by_key(|reload| reload.at_ns);
    for reload in &mut scenario.reloads {
        let operations = &reload.stream.operations;
        let there = |client: &u32| !operations[*client as usize].is_empty();
        let run_client = first.run_client();
        let all = 0..operations.len() as u32;
        reload.clients = all.filter(|it| Some(*it) != run_client).filter(there).collect();
    }
    Some(scenario)
}

/// Returns a stream of other operations, in which clients have the numbers of the run.
fn generation(dice: &mut Dice, first: &Stream) -> Stream {
    let made = generate::stream(dice);
    let clients = first.header.workload_clients();
    let run_client = first.run_client();
    let number = |client: u32| match run_client {
        Some(run_client) if client >= run_client => client + 1,
        _ => client,
    };
    let of_workloads = made.header.workload_clients();
    let mut operations = vec![Vec::new(); number(clients.max(of_workloads)) as usize + 1];
    for (client, own) in (0..of_workloads).zip(&*made.operations) {
        // Some clients are not in the generation: they leave.
        if dice.chance(85) {
            let client_idx = number(client);
            operations[client_idx as usize] =
                own.iter().cloned().map(|it| Operation { client_idx, ..it }).collect();
        }
    }
    if let Some(run_client) = run_client {
        operations[run_client as usize] = first.operations[run_client as usize].clone();
    }
    let broken = made.breaks_at.map(|(client, at)| (number(client), at));
    let mut stream = Stream::of(Vec::new(), Vec::new(), operations);
    stream.breaks_at = broken.filter(|(client, _)| Some(*client) != run_client);
    stream
}

/// The reports about one client, in their order.
#[derive(Default)]
struct Seen<'a> {
    completions: Vec<&'a CompletionEvent>,
    /// The moves, each with the number of completions before it.
    moves: Vec<(usize, MoveEvent)>,
    /// Iterations of each generation that were dropped or cut.
    dropped: BTreeSet<(u32, u32)>,
    cut: BTreeSet<(u32, u32)>,
    finished: BTreeSet<(u32, u32)>,
    failed: bool,
    /// Whether its handles may be gone: with a lost connection, or because its stream ended.
    lost: bool,
}

fn check(scenario: &Scenario, outcome: &Outcome) -> Result<(), String> {
    if outcome.two_in_flight {
        return Err("a client had two operations in flight".into());
    }
    let ends_in_order = !matches!(scenario.ending, Some((_, Ending::Stop { .. } | Ending::Abort)));
    let gave_up = outcome.events().any(|event| matches!(event, Event::GaveUp { .. }));
    if gave_up && ends_in_order && scenario.drain_ns >= 10_000 * MS {
        return Err("the drain ran out, although nothing holds the clients up".into());
    }
    if outcome.open_handles > 0 || outcome.left_open > 0 {
        return Err(format!(
            "{} handles left open",
            outcome.open_handles.max(outcome.left_open as usize)
        ));
    }
    if let Some(limit) = scenario.limit
        && outcome.permits_free != limit
    {
        return Err(format!("a permit leaked: {} of {limit} are free", outcome.permits_free));
    }
    let mut clients: BTreeMap<u32, Seen> = BTreeMap::new();
    let mut superseded: BTreeMap<u32, u64> = BTreeMap::new();
    for event in outcome.events() {
        match event {
            Event::Completed(completion) => {
                let client = clients.entry(completion.operation.client_idx).or_default();
                client.completions.push(completion);
            }
            Event::Iteration(iteration) => {
                let client = clients.entry(iteration.client_idx).or_default();
                let number = (iteration.generation, iteration.iteration);
                let of = match iteration.outcome {
                    IterationOutcome::Dropped => &mut client.dropped,
                    IterationOutcome::Cut => &mut client.cut,
                    IterationOutcome::Finished | IterationOutcome::Skipped => &mut client.finished,
                };
                if !of.insert(number) {
                    return Err(format!("an iteration ended twice: {iteration:?}"));
                }
            }
            Event::Moved(moved) => {
                let client = clients.entry(moved.client_idx).or_default();
                client.moves.push((client.completions.len(), *moved));
            }
            Event::Superseded { generation, operations, .. } => {
                *superseded.entry(*generation).or_default() += u64::from(*operations);
            }
            // Its stream had ended before the next generation came.
            Event::Reconnected { client_idx, .. } | Event::Cleanup { client_idx, .. } => {
                clients.entry(*client_idx).or_default().lost = true;
            }
            Event::Disconnected(stretch) => {
                clients.entry(stretch.client_idx).or_default().lost = true;
            }
            Event::ClientFailed { client_idx, .. } => {
                clients.entry(*client_idx).or_default().failed = true;
            }
            _ => {}
        }
    }
    for (index, client) in &clients {
        check_client(scenario, outcome, *index, client)
            .map_err(|broken| format!("client {index}: {broken}"))?;
    }
    check_superseded(scenario, outcome, &clients, &superseded)
}

fn stream_of(scenario: &Scenario, generation: u32) -> &Stream {
    match generation {
        FIRST_GENERATION => &scenario.stream,
        later => &scenario.reloads[later as usize - 2].stream,
    }
}

fn check_client(
    scenario: &Scenario,
    outcome: &Outcome,
    index: u32,
    client: &Seen,
) -> Result<(), String> {
    let mut at = if client.moves.first().is_some_and(|(_, moved)| moved.from.is_none()) {
        None
    } else {
        Some(FIRST_GENERATION)
    };
    // The moves make a chain.
    for (_, moved) in &client.moves {
        let joins_after_leaving = moved.from.is_none() && at.is_none();
        if moved.from != at && !joins_after_leaving {
            return Err(format!("moved from {:?}, but it was in {at:?}", moved.from));
        }
        if moved.to.is_some_and(|to| !outcome.accepted.contains(&to)) {
            return Err(format!("moved to a generation that was not accepted: {moved:?}"));
        }
        if let (Some(from), Some(to)) = (moved.from, moved.to)
            && to <= from
        {
            return Err(format!("moved back: {moved:?}"));
        }
        at = moved.to;
    }
    let generations: Vec<u32> = client.completions.iter().map(|it| it.generation).collect();
    if !generations.is_sorted() {
        return Err(format!("its generations are mixed: {generations:?}"));
    }
    for part in client.completions.chunk_by(|a, b| a.generation == b.generation) {
        check_part(scenario, outcome, index, client, part)?;
    }
    Ok(())
}

/// Checks what a client did in one generation.
fn check_part(
    scenario: &Scenario,
    outcome: &Outcome,
    index: u32,
    client: &Seen,
    part: &[&CompletionEvent],
) -> Result<(), String> {
    let generation = part[0].generation;
    let stream = &stream_of(scenario, generation).operations[index as usize];
    let mut open: BTreeMap<HandleRef, bool> = BTreeMap::new();
    let mut lost = client.lost;
    let mut previous: Option<&Operation> = None;
    for completion in part {
        let operation = &completion.operation;
        let wrong = |what: &str| Err(format!("{what} in generation {generation}: {completion:?}"));
        let Some(of_stream) = stream.get(operation.seq as usize) else {
            return wrong("an operation that the stream does not have");
        };
        let same = Operation { due: operation.due, ..of_stream.clone() };
        if same != *operation
            || std::mem::discriminant(&of_stream.due) != std::mem::discriminant(&operation.due)
        {
            return wrong("an operation that is not the stream's");
        }
        if let (Due::After(asked), Due::After(after)) = (of_stream.due, operation.due)
            && asked != after
        {
            return wrong("its think time was changed");
        }
        if let Some(previous) = previous {
            if operation.seq <= previous.seq {
                return wrong("completed twice or out of order");
            }
            let between = &stream[previous.seq as usize + 1..operation.seq as usize];
            let lost = between.iter().find(|missing| {
                missing.section == operation.section
                    && !client.dropped.contains(&(generation, missing.iteration))
            });
            if let Some(lost) = lost {
                return wrong(&format!("operation {} was lost", lost.seq));
            }
        }
        previous = Some(operation);
        match (&operation.kind, &completion.execution.status) {
            (OperationKind::Open(opened), status) => {
                // With `Expect::Any` an error is no failure, but nothing is open.
                // An open that timed out may have opened the file all the same.
                let timed_out = CompletionStatus::Failed(Failure::TimedOut);
                let succeeded = *status == CompletionStatus::Succeeded(NtStatus::SUCCESS)
                    || *status == timed_out;
                // The handle that had the number before may still be open.
                lost |= open.insert(opened.handle_ref, succeeded) == Some(true);
            }
            (_, CompletionStatus::Skipped { .. }) => {}
            (OperationKind::OnHandle(handle, _), CompletionStatus::Succeeded(_))
                if !open.get(handle).copied().unwrap_or(false) =>
            {
                return wrong("an operation on a handle that was not opened");
            }
            _ => {}
        }
        if let OperationKind::OnHandle(handle, HandleOperation::Close) = &operation.kind {
            open.remove(handle);
            // A close that failed may have left it open.
            let closed = CompletionStatus::Succeeded(NtStatus::SUCCESS);
            lost |= completion.execution.status != closed;
        }
        lost |= matches!(
            completion.execution.status,
            CompletionStatus::Failed(
                Failure::ConnectionLost(_) | Failure::TimedOut | Failure::Panicked(_)
            )
        );
    }
    let leaves = |moved: &&(usize, MoveEvent)| moved.1.from == Some(generation);
    let Some((_, moved)) = client.moves.iter().find(leaves) else { return Ok(()) };
    // At the boundary all handles are closed. Those of a lost connection are gone.
    let left = open.values().filter(|succeeded| **succeeded).count() as u32;
    let closed = moved.closed + moved.failed;
    if moved.to.is_some() && closed != left && !lost {
        return Err(format!("{left} handles open at {moved:?}"));
    }
    // The iteration before the boundary is whole, unless it was cut.
    let last =
        part.iter().rev().map(|it| &it.operation).find(|it| it.section == Section::Iteration);
    if let Some(last) = last {
        let number = (generation, last.iteration);
        let next = stream.get(last.seq as usize + 1);
        let whole = next.is_none_or(|next| {
            next.section != Section::Iteration || next.iteration != last.iteration
        });
        if !whole && !client.cut.contains(&number) {
            return Err(format!("left in the midst of iteration {}: {moved:?}", last.iteration));
        }
    }
    check_setup(scenario, outcome, client, generation, part)
}

/// Checks that the setup of a later generation ran for clients that joined with it, or for all if
/// the generation says so.
fn check_setup(
    scenario: &Scenario,
    _outcome: &Outcome,
    client: &Seen,
    generation: u32,
    part: &[&CompletionEvent],
) -> Result<(), String> {
    if generation == FIRST_GENERATION {
        return Ok(());
    }
    let set_up = part.iter().any(|it| it.operation.section == Section::Setup);
    let moved_to = |moved: &&(usize, MoveEvent)| moved.1.to == Some(generation);
    let Some((_, moved)) = client.moves.iter().find(moved_to) else { return Ok(()) };
    let again = scenario.reloads[generation as usize - 2].set_up_again;
    if set_up && moved.from.is_some() && !again {
        return Err(format!("its setup ran again in generation {generation}"));
    }
    Ok(())
}

/// Checks that what was fetched and not issued, before everybody left a generation, is counted as
/// superseded.
fn check_superseded(
    scenario: &Scenario,
    outcome: &Outcome,
    clients: &BTreeMap<u32, Seen>,
    superseded: &BTreeMap<u32, u64>,
) -> Result<(), String> {
    let cut_ns = outcome.measured_ns.map_or(0, |(_, cut_ns)| cut_ns);
    let generations = outcome.accepted.iter().copied().chain([FIRST_GENERATION]);
    for generation in generations {
        // The operations that a cut discards, or a lost client, are not counted.
        let fetched = outcome.delivered.keys().filter(|(of, _)| *of == generation);
        let left = fetched.map(|(_, client)| clients.get(client)).all(|client| {
            let mut moves = client.iter().flat_map(|client| &client.moves);
            moves.any(|(_, moved)| moved.from == Some(generation) && moved.at_ns < cut_ns)
        });
        if !left {
            continue;
        }
        let of = |(key, count): (&(u32, u32), &u64)| if key.0 == generation { *count } else { 0 };
        let delivered: u64 = outcome.delivered.iter().map(of).sum();
        let mut done = 0;
        for (index, client) in clients {
            let stream = &stream_of(scenario, generation).operations;
            let own = client.completions.iter().filter(|it| {
                it.generation == generation && it.operation.section == Section::Iteration
            });
            done += own.count() as u64;
            let dropped = |operation: &&Operation| {
                operation.section == Section::Iteration
                    && client.dropped.contains(&(generation, operation.iteration))
            };
            let stream = stream.get(*index as usize);
            done += stream.map_or(0, |own| own.iter().filter(dropped).count() as u64);
        }
        let counted = superseded.get(&generation).copied().unwrap_or(0);
        // Of an iteration that was dropped, the last operations may not have been fetched.
        if delivered > done + counted || (delivered < done + counted && dropped_none(clients)) {
            return Err(format!(
                "generation {generation}: {delivered} operations fetched, {done} done, {counted} superseded"
            ));
        }
    }
    Ok(())
}

fn dropped_none(clients: &BTreeMap<u32, Seen>) -> bool {
    clients.values().all(|client| client.dropped.is_empty())
}

#[test]
fn no_operation_is_lost_doubled_or_sent_on_a_handle_of_another_generation() {
    let count = match std::env::var("SMBENCH_SEEDS") {
        Ok(count) => count.parse().expect("SMBENCH_SEEDS"),
        Err(_) => 1_500,
    };
    let seeds: Vec<u64> = match std::env::var("SMBENCH_SEED") {
        Ok(seed) => vec![seed.parse().expect("SMBENCH_SEED")],
        Err(_) => (0..count).collect(),
    };
    let (mut moved, mut joined, mut left, mut cut, mut superseded, mut settled) =
        (0, 0, 0, 0, 0, 0);
    for seed in &seeds {
        let Some(scenario) = random(*seed) else { continue };
        let ran = catch_unwind(AssertUnwindSafe(|| scenario.try_run()));
        let ran = ran.unwrap_or_else(|_| Err("it panicked".into()));
        let checked = ran.and_then(|outcome| {
            check(&scenario, &outcome)?;
            if scenario.counts_by_generation() {
                let summary = outcome.summary();
                totals::check(&outcome, &summary)?;
                totals::check_generations(&scenario, &outcome, &summary)?;
            }
            Ok(outcome)
        });
        let outcome = checked.unwrap_or_else(|broken| {
            panic!(
                "seed {seed}: {broken}\n{scenario:?}\nagain with: SMBENCH_SEED={seed} cargo test \
                 --test simulation of_another_generation"
            )
        });
        settled += outcome.settled.len();
        for event in outcome.events() {
            match event {
                Event::Moved(MoveEvent { from: None, .. }) => joined += 1,
                Event::Moved(MoveEvent { to: None, .. }) => left += 1,
                Event::Moved(_) => moved += 1,
                Event::Superseded { operations, .. } => superseded += operations,
                Event::Iteration(iteration) => {
                    cut += u32::from(iteration.outcome == IterationOutcome::Cut);
                }
                _ => {}
            }
        }
    }
    if seeds.len() >= 1_000 {
        let seen = [moved, joined, left, cut, superseded, settled as u32];
        assert!(seen.iter().all(|seen| *seen > 100), "the dice are too tame: {seen:?}");
    }
}
