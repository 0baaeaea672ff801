//! The cost of recording, in nanoseconds per event.
//!
//! `cargo bench --bench recorder`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smbench::ir::event::SocketTimes;
use smbench::ir::{
    CompletionEvent, CompletionStatus, Event, EventSink, Execution, FileControl, HandleOperation,
    HandleRef, OpenMode, OpenOperation, Operation, OperationKind, OperationTimes, Phase,
    StreamHeader, Workload,
};
use smbench::observability::{Layout, Live, Recorder};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{NtStatus, SharePath};

const CLIENTS: u32 = 1_000;
const PHASES: u16 = 5;
const ITERATIONS: u32 = 500_000;
const EVENTS_PER_ITERATION: u32 = 4;

fn main() {
    let workload = |name| Workload::new(name, CLIENTS / 2);
    let header = StreamHeader {
        workloads: vec![workload("a"), workload("b")].into(),
        ..StreamHeader::default()
    };
    let phase = |index| Phase { name: format!("p{index}"), duration_ns: 1, record: true };
    let phases = (0..PHASES).map(phase).collect();
    let layout = Layout::new(Arc::new(header), phases, Duration::from_millis(10));
    let mut recorder = Recorder::new(Arc::new(layout), Live::new(1).shard(0));

    let path = SharePath::new("team/u1/a.docx").expect("a plain path");
    let making = run(&path, |event| {
        black_box(event);
    });
    let both = run(&path, |event| recorder.event(event));
    let measurements = recorder.finish();
    black_box(&measurements);

    let events = u64::from(ITERATIONS) * u64::from(EVENTS_PER_ITERATION);
    let per_event = |spent: Duration| spent.as_nanos() as f64 / events as f64;
    println!("{events} events of {CLIENTS} clients in {PHASES} phases");
    println!(
        "recorder: {:.1} ns/event (making the events, subtracted: {:.1} ns)",
        per_event(both.saturating_sub(making)),
        per_event(making),
    );
}

/// Passes the events of opens, reads, flushes and closes to `sink`, with service times from 50 µs
/// to 34 ms and the clients in turn. Returns the time it took.
fn run(path: &SharePath, mut sink: impl FnMut(Event)) -> Duration {
    let handle_ref = HandleRef(1);
    let begun = Instant::now();
    for iteration in 0..ITERATIONS {
        let client_idx = iteration % CLIENTS;
        let kinds = [
            OperationKind::Open(OpenOperation {
                path: path.clone(),
                mode: OpenMode::ReadWrite,
                disposition: CreateDisposition::OpenIf,
                handle_ref,
                extensions: None,
            }),
            HandleOperation::Read { offset: 0, length: 4_096 }.on(handle_ref),
            FileControl::Flush.on(handle_ref),
            HandleOperation::Close.on(handle_ref),
        ];
        for (seq, kind) in (0..).zip(kinds) {
            let at = u64::from(iteration) * 1_000;
            let service = 50_000 + u64::from(iteration.wrapping_mul(2_654_435_761) >> 7);
            let issued_ns = at + service % 30_000;
            let operation = Operation { iteration, ..Operation::new(client_idx, seq, kind) };
            let execution = Execution {
                bytes: 4_096,
                socket: SocketTimes {
                    first_write_ns: Some(issued_ns),
                    pickup_ns: Some(service % 20_000),
                    clock_stepped: false,
                },
                ..Execution::of(CompletionStatus::Succeeded(NtStatus::SUCCESS))
            };
            let times = OperationTimes {
                due_ns: at,
                eligible_ns: at,
                issued_ns,
                attempted_ns: issued_ns,
                completed_ns: at + service,
                blocked_ns: 0,
            };
            let phase = Some((iteration / (ITERATIONS / u32::from(PHASES))) as u16);
            let event = CompletionEvent::new(operation, execution, times);
            sink(Event::Completed(CompletionEvent { phase, ..event }));
        }
    }
    begun.elapsed()
}
