//! A run made by hand, for the tests of this module.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::custom_metrics::{
    CustomMetrics, MetricDeclaration, MetricKind, MetricSummary, MetricUnit,
};
use super::layout::Layout;
use super::live::Live;
use super::metrics::Measurements;
use super::recorder::Recorder;
use super::summary::{
    CleanedSummary, GenerationSummary, OperationTotals, OplogSummary, PreparedSummary, RunFacts,
    RunSettings, SilentClients, Summary, SupersededCounts, TargetFacts,
};
use super::thresholds::ThresholdSummary;
use super::thresholds::metric::Unit;
use super::trust::{Cause, HookEvents, Processors};
use crate::ir::event::{
    BreakEnd, BreakEvent, Disconnection, FIRST_GENERATION, IterationEvent, IterationOutcome,
    Reopened, SocketTimes, Unissued,
};
use crate::ir::source::{Module, UsedPackage};
use crate::ir::{
    CompletionEvent, CompletionStatus, Event, EventSink, Execution, Failure, HandleOperation,
    HandleRef, OpenMode, OpenOperation, Operation, OperationKind, OperationTimes, PathOperation,
    Phase, Section, Step, StreamHeader, Workload,
};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{
    Break, Caching, CreateAction, FileId, Granted, GrantedLease, LeaseBreak, LeaseState, NtStatus,
    OplockBreak, SharePath,
};

pub const OK: CompletionStatus = CompletionStatus::Succeeded(NtStatus::SUCCESS);
const MS: u64 = 1_000_000;

/// Returns a layout in which clients 0 and 1 are editors, 2 is a reader, and 3 the run-wide client.
pub fn layout() -> Arc<Layout> {
    let workload = Workload::new;
    let phase = |name: &str, seconds: u64, record| Phase {
        name: name.into(),
        duration_ns: seconds * 1_000 * MS,
        record,
    };
    let header = StreamHeader {
        source: "office.lua".into(),
        seed: 7,
        workloads: vec![workload("editors", 2), workload("readers", 1)].into(),
        run_client: true,
        ir_hash: "recipe:1234".into(),
        script_hash: Some("abcd".into()),
        params: [("users".to_string(), 2.into())].into_iter().collect(),
        modules: vec![Module {
            name: "@bench/x".into(),
            version: "1.0.0".into(),
            hash: "ef".into(),
        }],
        packages: packages(),
        ..StreamHeader::default()
    };
    let phases = vec![phase("warmup", 1, false), phase("steady", 2, true)];
    Arc::new(Layout::new(Arc::new(header), phases, Duration::from_millis(10)))
}

/// Returns libraries that have every key.
fn packages() -> Vec<UsedPackage> {
    let package = |alias: &str, name: &str| UsedPackage {
        alias: alias.into(),
        name: name.into(),
        version: "1.2.0".into(),
        hash: "cd".into(),
        ..UsedPackage::default()
    };
    let text = |text: &str| Some(text.to_string());
    let repo = || (text("https://host/office.git"), text("abcd"));
    let (of_tag, of_rev) = (package("office", "acme/office"), package("mail", "acme/mail"));
    vec![
        UsedPackage { repo: repo().0, tag: text("v1.2.0"), commit: repo().1, ..of_tag },
        UsedPackage { repo: repo().0, rev: text("main"), commit: repo().1, ..of_rev },
        UsedPackage { path: text("../local"), ..package("local", "local") },
    ]
}

pub fn recorder() -> Recorder {
    Recorder::new(layout(), Live::new(1).shard(0))
}

pub fn open(handle: u32, path: &str) -> OperationKind {
    OperationKind::Open(OpenOperation {
        path: SharePath::new(path).unwrap(),
        mode: OpenMode::ReadWrite,
        disposition: CreateDisposition::OpenIf,
        handle_ref: HandleRef(handle),
        extensions: None,
    })
}

pub fn read(handle: u32) -> OperationKind {
    HandleOperation::Read { offset: 0, length: 4_096 }.on(HandleRef(handle))
}

pub fn close(handle: u32) -> OperationKind {
    HandleOperation::Close.on(HandleRef(handle))
}

pub fn delete(path: &str) -> OperationKind {
    OperationKind::ByPath(PathOperation::Delete { path: SharePath::new(path).unwrap() })
}

/// Returns an operation due and issued at 1 s, completed 1 ms later, in phase 1 (steady).
pub fn completion(
    client_idx: u32,
    seq: u32,
    kind: OperationKind,
    status: CompletionStatus,
) -> CompletionEvent {
    let times = OperationTimes {
        due_ns: 1_000 * MS,
        eligible_ns: 1_000 * MS,
        issued_ns: 1_000 * MS,
        attempted_ns: 1_000 * MS,
        completed_ns: 1_001 * MS,
        blocked_ns: 0,
    };
    let operation = Operation::new(client_idx, seq, kind);
    let event = CompletionEvent::new(operation, Execution::of(status), times);
    CompletionEvent { phase: Some(1), ..event }
}

/// Returns the completion of an operation that is a step of its own.
pub fn in_step(name: &str, mut event: CompletionEvent) -> CompletionEvent {
    event.operation.step =
        Some(Arc::new(Step { name: name.into(), number: event.operation.seq, outer: None }));
    event
}

/// Returns an iteration due and begun at 1 s, ended 1 ms later, in phase 1 (steady).
pub fn iteration(client_idx: u32, outcome: IterationOutcome) -> IterationEvent {
    IterationEvent {
        client_idx,
        iteration: 0,
        phase: Some(1),
        due_ns: 1_000 * MS,
        eligible_ns: 1_000 * MS,
        started_ns: 1_000 * MS,
        ended_ns: 1_001 * MS,
        outcome,
        generation: FIRST_GENERATION,
    }
}

/// Returns a grant of an oplock of this level, or of a lease of this state.
pub fn granted(caching: Caching) -> Option<Box<Granted>> {
    let (oplock, lease) = match caching {
        Caching::Oplock(level) => (level, None),
        Caching::Lease(state) => {
            let lease =
                GrantedLease { key: [7; 16], state, breaking: false, parent_key: None, epoch: 1 };
            (OplockLevel::Lease, Some(lease))
        }
    };
    Some(Box::new(Granted {
        file_id: FileId { persistent: 1, volatile: 2 },
        disk_file_id: Some(u64::MAX),
        action: CreateAction::Opened,
        oplock,
        lease,
        durable: None,
    }))
}

/// Returns the break of a batch oplock, noticed at 1 s and acknowledged 1 ms later, in phase 1
/// (steady).
pub fn oplock_break(client_idx: u32, end: BreakEnd) -> BreakEvent {
    BreakEvent {
        client_idx,
        path: SharePath::new("team/u0/a.docx").unwrap(),
        notice: Break::Oplock(OplockBreak {
            file_id: FileId { persistent: 1, volatile: 2 },
            level: OplockLevel::II,
        }),
        phase: Some(1),
        noticed_ns: 1_000 * MS,
        acknowledged_ns: Some(1_001 * MS),
        ended_ns: 1_002 * MS,
        end,
        refusal: (end == BreakEnd::Refused).then_some(NtStatus::INVALID_PARAMETER),
        blocked: 0,
        blocked_ns: 0,
    }
}

/// Returns the break of a lease RWH, noticed at 1 s and never acknowledged, in phase 1 (steady).
pub fn lease_break(client_idx: u32, end: BreakEnd) -> BreakEvent {
    let notice = Break::Lease(LeaseBreak {
        key: [7; 16],
        current: LeaseState::RWH,
        new: LeaseState::RH,
        epoch: 2,
        acknowledgement_required: end != BreakEnd::NotAsked,
    });
    BreakEvent { notice, acknowledged_ns: None, ..oplock_break(client_idx, end) }
}

pub fn in_section(mut event: CompletionEvent, section: Section) -> Event {
    event.operation.section = section;
    event.phase = None;
    Event::Completed(event)
}

pub fn failed(status: NtStatus) -> CompletionStatus {
    CompletionStatus::Failed(Failure::Status(status))
}

/// Returns measurements with a little of everything: both workloads, all sections, failures with a
/// hostile name, a skipped and a cut operation, retries, late and dropped iterations, a backlog, a
/// reconnect, a client that gave up.
pub fn measurements() -> Measurements {
    let mut recorder = recorder();
    let mut seq = 0;
    let mut next = |client, kind, status| {
        seq += 1;
        completion(client, seq, kind, status)
    };
    let mkdir =
        OperationKind::ByPath(PathOperation::Mkdir { path: SharePath::new("team").unwrap() });
    recorder.event(in_section(in_step("prepare", next(3, mkdir, OK)), Section::Setup));
    let warm = CompletionEvent { phase: Some(0), ..in_step("save", next(0, read(9), OK)) };
    recorder.event(Event::Completed(warm));
    let mut opened = in_step("save", next(0, open(1, "team/u0/a.docx"), OK));
    opened.execution.granted = granted(Caching::Oplock(OplockLevel::Batch));
    recorder.event(Event::Completed(opened));
    for i in 1..=1_000 {
        let mut event = next(i as u32 % 3, read(1), OK);
        let last = i == 1_000;
        event.times.completed_ns = event.times.issued_ns + i * 10_000;
        event.retries = u32::from(last) * 2;
        let reopened = Reopened { took_ns: 5 * MS, locks_lost: 1, failed: false };
        event.execution = Execution {
            bytes: 4_096,
            short_read: last,
            reopened: last.then_some(reopened),
            socket: SocketTimes {
                first_write_ns: Some(event.times.issued_ns + 4_000),
                pickup_ns: Some(15_000),
                clock_stepped: last,
            },
            ..event.execution
        };
        recorder.event(Event::Completed(event));
    }
    let violation = failed(NtStatus::SHARING_VIOLATION);
    let hostile = "team/\u{9b}31m\u{202e}name.docx";
    let refused = in_step("save", next(1, open(2, hostile), violation));
    recorder.event(Event::Completed(refused));
    let skipped = CompletionStatus::Skipped { cause_seq: seq };
    let mut next = |client, kind, status| {
        seq += 1;
        completion(client, seq, kind, status)
    };
    recorder.event(Event::Completed(in_step("close", next(1, close(2), skipped))));
    let reset = CompletionStatus::Failed(Failure::ConnectionLost("reset by\x1b[2J peer".into()));
    recorder.event(Event::Completed(next(0, read(1), reset)));
    recorder.event(Event::Completed(next(2, read(1), CompletionStatus::Cut)));
    recorder.event(Event::Completed(next(0, close(1), OK)));
    let denied = failed(NtStatus::ACCESS_DENIED);
    let deleted = in_step("clean", next(0, delete("team/u0/a.docx"), denied));
    recorder.event(in_section(deleted, Section::Teardown));
    for (late_ns, ended_ns, outcome) in [
        (0, 1_020 * MS, IterationOutcome::Finished),
        (2 * MS, 1_015 * MS, IterationOutcome::Finished),
        (0, 1_030 * MS, IterationOutcome::Cut),
        (3 * MS, 1_003 * MS, IterationOutcome::Dropped),
        (0, 1_000 * MS, IterationOutcome::Skipped),
    ] {
        recorder.event(Event::Iteration(IterationEvent {
            eligible_ns: 1_000 * MS + late_ns,
            started_ns: 1_000 * MS + late_ns,
            ended_ns,
            ..iteration(0, outcome)
        }));
    }
    let late = BreakEvent {
        acknowledged_ns: Some(1_003 * MS),
        ended_ns: 1_004 * MS,
        ..oplock_break(0, BreakEnd::Acknowledged)
    };
    let blocks = |blocked, blocked_ns, broken| BreakEvent { blocked, blocked_ns, ..broken };
    for broken in [
        blocks(2, 2 * MS, BreakEvent { acknowledged_ns: Some(1_002 * MS), ..late.clone() }),
        blocks(
            0,
            0,
            BreakEvent {
                acknowledged_ns: late.acknowledged_ns,
                ended_ns: late.ended_ns,
                ..oplock_break(0, BreakEnd::Refused)
            },
        ),
        lease_break(1, BreakEnd::NotAsked),
        blocks(1, 35_000 * MS, lease_break(2, BreakEnd::TimedOut)),
        BreakEvent { phase: None, ..lease_break(2, BreakEnd::Cut) },
    ] {
        recorder.event(Event::Break(Box::new(broken)));
    }
    recorder.event(Event::Reconnected { client_idx: 0, after: Duration::from_millis(150) });
    let reason = "nobody answers".into();
    recorder.event(Event::ClientFailed { client_idx: 2, measuring: true, reason });
    for (client_idx, from_ns, to_ns) in [(0, 1_000, 1_150), (2, 1_400, 2_000)] {
        let (lost_ns, from_ns, to_ns) = (from_ns * MS, from_ns * MS, to_ns * MS);
        let stretch = Disconnection { client_idx, phase: Some(1), lost_ns, from_ns, to_ns };
        recorder.event(Event::Disconnected(stretch));
    }
    recorder.event(Event::Cleanup { client_idx: 1, closed: 2, failed: 1 });
    let unissued = Unissued { by_backlog: 12, backlog_ns: 1_500 * MS, ..Unissued::default() };
    recorder.event(Event::Unissued(unissued));
    recorder.event(Event::Heartbeat { phase: Some(1), late_ns: 30_000 });
    recorder.finish()
}

/// Returns one metric of each kind, updated once with and once without a tag.
pub fn metrics() -> BTreeMap<String, MetricSummary> {
    let mut metrics = CustomMetrics::new(MetricKind::ALL.map(|kind| MetricDeclaration {
        name: format!("app.{}", kind.name()),
        kind,
        unit: None,
        help: Some("of the tests".into()),
    }));
    for index in 0..MetricKind::ALL.len() {
        metrics.update(index, 1.0, None);
        metrics.update(index, 1_234_567.0, Some([("share".into(), "a".into())].into()));
    }
    metrics.summary()
}

pub fn facts() -> RunFacts {
    RunFacts {
        id: "20261122T175523Z-office".into(),
        started_at: UNIX_EPOCH + Duration::from_secs(1_795_370_123),
        target: TargetFacts {
            url: "smb://ada@nas/share".into(),
            backend: "smb2".into(),
            dialect: Some("3.1.1".into()),
            signing: Some("AES-GMAC".into()),
            ..TargetFacts::default()
        },
        settings: RunSettings {
            profile: None,
            time_scale: 1.0,
            mode: None,
            limit: None,
            retry: Vec::new(),
        },
        instant: false,
        server_in_process: false,
        processors: None,
        generators: 1,
        hook_events: HookEvents::default(),
        oplog: None,
        prepared: None,
        cleaned: None,
        metrics: BTreeMap::new(),
        generations: Vec::new(),
        phases: vec![Duration::from_secs(1), Duration::from_secs(2)],
        setup: Duration::from_millis(3),
        teardown: Duration::from_millis(4),
        interrupted: false,
        cut_short: false,
        allow_late: false,
        exit_reasons: Vec::new(),
        thresholds: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

/// Returns two generations that have every key. The second is faster than the first.
pub fn generations(summary: &Summary) -> Vec<GenerationSummary> {
    let first = GenerationSummary {
        number: 1,
        script_hash: summary.run.script_hash.clone(),
        ir_hash: summary.run.ir_hash.clone(),
        params: summary.run.params.clone(),
        modules: summary.run.modules.clone(),
        packages: summary.run.packages.clone(),
        started_s: 0.0,
        clients: 3,
        superseded: SupersededCounts { operations: 12, overdue: 1 },
        closed_handles: 2,
        totals: OperationTotals { reconnects: None, ..summary.totals.clone() },
        service_us: summary.operations.values().find_map(|operation| operation.service_us),
        operations: summary.operations.clone(),
        iterations: summary.iterations.clone(),
        metrics: summary.metrics.clone(),
    };
    let mut second = GenerationSummary { number: 2, started_s: 1.25, ..first.clone() };
    second.totals.operations_per_s *= 1.5;
    second.totals.counts.failed = 0;
    second.superseded = SupersededCounts::default();
    if let Some(service) = &mut second.service_us {
        service.tail.p99 *= 0.5;
    }
    vec![first, second]
}

/// Returns a summary that has every key.
pub fn full_summary() -> Summary {
    let facts = RunFacts {
        problems: vec!["office.lua:14: no".into()],
        notes: vec!["drained".into()],
        target: TargetFacts {
            encryption: Some("AES-128-GCM".into()),
            server: Some("NAS".into()),
            ..facts().target
        },
        settings: RunSettings {
            profile: Some("nightly".into()),
            time_scale: 0.5,
            mode: Some(1),
            limit: Some(64),
            retry: vec!["STATUS_RETRY".into()],
        },
        processors: Some(Processors { cores: 4, used: 1.25, ..Processors::default() }),
        metrics: metrics(),
        oplog: Some(OplogSummary { written: 1_000, dropped: 3 }),
        prepared: Some(PreparedSummary { directories: 12, files: 340, bytes: 5 << 20 }),
        cleaned: Some(CleanedSummary {
            removed: 1_400,
            left: 1,
            untracked: 0,
            first_left: Some("team/doc: STATUS_ACCESS_DENIED".into()),
        }),
        ..facts()
    };
    let mut summary = Summary::new(facts, &measurements());
    summary.trust.cause = Some(Cause::Generation);
    summary.thresholds.push(ThresholdSummary {
        expression: "errors.rate < 1%".into(),
        value: Some(0.02),
        unit: Unit::Share,
        pass: false,
        comparison: None,
        phase: Some("steady".into()),
        workload: Some("editors".into()),
        reason: Some("ended the run after 6.0 s".into()),
    });
    let histogram = summary.metrics.get_mut("app.histogram").unwrap();
    (histogram.unit, histogram.beyond_tags) = (Some(MetricUnit::Ns), 1);
    summary.generations = generations(&summary);
    summary.silent_clients = Some(SilentClients { count: 1, first: vec!["editors/0".into()] });
    summary
}
