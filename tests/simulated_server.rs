//! Tests of the simulated server alone, in virtual time: every time is exact.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use smbench::backend::sim::{Description, Fault, Latency, Request, Settings, SimBackend, Window};
use smbench::backend::{
    Clock, ConnectError, ConnectStage, OpError, SMBBackend, SMBConnectionInner, SMBFileHandle,
};
use smbench::ir::{OpenMode, PathOperation};
use smbench::protocol::create::CreateDisposition;
use smbench::protocol::{NtStatus, SharePath};
use smbench::scheduler::virtual_time::VirtualClock;

const MS: u64 = 1_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns settings with which each request takes a millisecond. Tests override them.
fn settings() -> Settings {
    Settings { latency: Latency::Constant(ms(1)), ..Settings::default() }
}

fn run<T>(settings: Settings, test: impl AsyncFnOnce(VirtualClock, SimBackend) -> T) -> T {
    let clock = VirtualClock::default();
    let server = SimBackend::new(Arc::new(clock.clone()), settings);
    clock.block_on(test(clock.clone(), server)).expect("nothing hangs")
}

fn fault(operation: u64, fault: Fault) -> Settings {
    let at = Request { client_idx: 0, connect: 0, operation: Some(operation) };
    Settings { faults: Box::new(move |request| (request == at).then_some(fault)), ..settings() }
}

async fn connect(server: &SimBackend) -> Box<dyn SMBConnectionInner> {
    server.connect(0).await.unwrap()
}

async fn stat(connection: &dyn SMBConnectionInner) -> Result<(), OpError> {
    let path = SharePath::new("").unwrap();
    connection.execute_misc(&PathOperation::Stat { path }).await
}

async fn open(connection: &dyn SMBConnectionInner) -> Result<Box<dyn SMBFileHandle>, OpError> {
    let path = SharePath::new("f").unwrap();
    connection.open_simple(&path, OpenMode::ReadWrite, CreateDisposition::OpenIf).await
}

fn is_lost<T>(result: &Result<T, OpError>) -> bool {
    matches!(result, Err(OpError::ConnectionLost(_)))
}

async fn refused(server: &SimBackend) -> ConnectError {
    server.connect(0).await.err().expect("no connection")
}

/// Returns the times, in milliseconds, at which `count` successive requests were answered.
async fn answered_ms(
    clock: &VirtualClock,
    connection: &dyn SMBConnectionInner,
    count: usize,
) -> Vec<u64> {
    let mut answered = Vec::new();
    for _ in 0..count {
        stat(connection).await.unwrap();
        assert_eq!(clock.now_ns() % MS, 0);
        answered.push(clock.now_ns() / MS);
    }
    answered
}

#[test]
fn a_stall_holds_back_what_would_end_in_it_and_nothing_else() {
    let stalls = vec![Window::once(ms(4), ms(3)), Window::once(ms(9), ms(1))];
    run(Settings { stalls, ..settings() }, async |clock, server| {
        let connection = connect(&server).await;
        // The request that would end at 4 ends at 7, and the one at 9 ends at 10.
        assert_eq!(answered_ms(&clock, &*connection, 6).await, [2, 3, 7, 8, 10, 11]);
    });
}

#[test]
fn all_requests_that_a_stall_holds_back_end_together() {
    let stalls = vec![Window::once(ms(10), ms(5))];
    let latency = Latency::Uniform { low: ms(2), high: ms(9) };
    run(Settings { stalls, latency, ..settings() }, async |clock, server| {
        let connections = join_all((0..500).map(|client| server.connect(client))).await;
        clock.sleep_until(9 * MS).await;
        let ended = connections.iter().map(async |connection| {
            stat(&**connection.as_ref().unwrap()).await.unwrap();
            clock.now_ns()
        });
        let ended = join_all(ended).await;
        // Without the stall, requests would end between 11 and 18.
        assert!(ended.iter().all(|ended| (15 * MS..18 * MS).contains(ended)));
        let at_its_close = ended.iter().filter(|ended| **ended == 15 * MS).count();
        assert!((230..340).contains(&at_its_close), "{at_its_close} of 500, four in seven");
    });
}

#[test]
fn a_stall_comes_again_and_windows_count_from_the_servers_creation() {
    let clock = VirtualClock::default();
    clock
        .block_on(async {
            clock.sleep_until(100 * MS).await;
            let stalls = vec![Window::every(ms(5), ms(2))];
            let server =
                SimBackend::new(Arc::new(clock.clone()), Settings { stalls, ..settings() });
            let connection = connect(&server).await;
            let answered = answered_ms(&clock, &*connection, 9).await;
            assert_eq!(answered, [102, 103, 104, 107, 108, 109, 112, 113, 114]);
        })
        .unwrap();
}

#[test]
fn a_stall_holds_back_connects_granted_locks_and_cancelled_ones() {
    let stalls = [0, 20, 30].map(|start| Window::once(ms(start), ms(5))).into();
    run(Settings { stalls, ..settings() }, async |clock, server| {
        let (one, other) = join(connect(&server), connect(&server)).await;
        assert_eq!(clock.now_ns(), 5 * MS);
        let (holder, waiter) = (open(&*one).await.unwrap(), open(&*other).await.unwrap());
        holder.lock(0, 1, true, false).await.unwrap();
        let vanishing = async {
            clock.sleep_until(22 * MS).await;
            drop(one);
        };
        let (granted, ()) = join(waiter.lock(0, 1, true, true), vanishing).await;
        assert_eq!((granted, clock.now_ns()), (Ok(()), 25 * MS));

        let again = open(&*other).await.unwrap();
        let cancelling = async {
            clock.sleep_until(31 * MS).await;
            assert!(other.cancel().await);
        };
        let (cancelled, ()) = join(again.lock(0, 1, true, true), cancelling).await;
        assert_eq!(cancelled, Err(OpError::Status(NtStatus::CANCELLED)));
        assert_eq!(clock.now_ns(), 35 * MS);
    });
}

#[test]
fn an_outage_breaks_every_connection_refuses_until_its_end_and_then_serves() {
    let outages = vec![Window::once(ms(100), ms(50))];
    run(Settings { outages, ..settings() }, async |clock, server| {
        let (busy, idle) = (connect(&server).await, connect(&server).await);
        let (file, left_open) = (open(&*busy).await.unwrap(), open(&*idle).await.unwrap());
        file.write(0, Bytes::from_static(b"kept")).await.unwrap();
        left_open.lock(0, 1, true, false).await.unwrap();
        // Only the outage ends this wait.
        assert!(is_lost(&file.lock(0, 1, true, true).await));
        assert_eq!(clock.now_ns(), 100 * MS);
        assert!(is_lost(&file.read(0, 1).await));
        assert_eq!(clock.now_ns(), 100 * MS, "a lost connection needs no time to fail");

        for at_ns in [100 * MS, 150 * MS - 1] {
            clock.sleep_until(at_ns).await;
            let error = refused(&server).await;
            assert_eq!((error.stage, error.transient), (ConnectStage::Connect, true), "{error}");
            assert_eq!(clock.now_ns(), at_ns, "a refusal comes at once");
        }
        clock.sleep_until(150 * MS).await;
        let again = connect(&server).await;
        let file = open(&*again).await.unwrap();
        assert_eq!(file.read(0, 9).await.unwrap(), &b"kept"[..]);
        file.lock(0, 1, true, false).await.expect("the lock of the idle client is gone");
        assert!(is_lost(&left_open.flush().await));
        assert!(is_lost(&stat(&*idle).await));
        assert_eq!(server.open_handles(), 1);
    });
}

#[test]
fn an_outage_closes_what_idle_clients_have_open() {
    let outages = vec![Window::once(ms(100), ms(50))];
    run(Settings { outages, ..settings() }, async |clock, server| {
        let idle = connect(&server).await;
        let _file = open(&*idle).await.unwrap();
        clock.sleep_until(100 * MS - 1).await;
        assert_eq!(server.open_handles(), 1);
        clock.sleep_until(100 * MS).await;
        assert_eq!(server.open_handles(), 0);
    });
}

#[test]
fn an_outage_ends_what_is_in_flight_and_what_takes_effect_at_its_first_instant() {
    let outages = vec![Window::every(ms(10), ms(5))];
    let latency = Latency::Constant(ms(4));
    run(Settings { outages, latency, ..settings() }, async |clock, server| {
        let one = connect(&server).await;
        // The first open would end at 8, the second at 12.
        open(&*one).await.unwrap();
        assert!(is_lost(&open(&*one).await.map(|_| ())));
        assert_eq!(clock.now_ns(), 10 * MS);
        clock.sleep_until(15 * MS).await;
        let two = connect(&server).await;
        assert_eq!(clock.now_ns(), 19 * MS);
        // The next outage begins at 20.
        assert!(is_lost(&stat(&*two).await));
        assert_eq!(clock.now_ns(), 20 * MS);

        clock.sleep_until(27 * MS).await;
        let error = refused(&server).await;
        assert!(error.transient, "{error}");
        assert_eq!(clock.now_ns(), 30 * MS, "a connect in flight ends with the outage");

        clock.sleep_until(36 * MS).await;
        assert!(refused(&server).await.transient, "ready at the first instant of the outage");
        assert_eq!(clock.now_ns(), 40 * MS);
        assert_eq!(server.open_handles(), 0);
    });
}

#[test]
fn a_reply_that_never_comes_and_a_stall_without_end_are_ended_by_an_outage() {
    let outages = vec![Window::once(ms(50), ms(1))];
    let stalls = vec![Window { start: ms(10), length: ms(5), every: Some(ms(5)) }];
    let silent = fault(0, Fault::NoReply);
    run(Settings { outages, stalls, ..silent }, async |clock, server| {
        let (silent, stalled) = (connect(&server).await, connect(&server).await);
        let begin = async {
            clock.sleep_until(9 * MS).await;
            stat(&*stalled).await
        };
        let (silent, stalled) = join(stat(&*silent), begin).await;
        assert!(is_lost(&silent) && is_lost(&stalled));
        assert_eq!(clock.now_ns(), 50 * MS);
    });
}

#[test]
fn a_delayed_reply_comes_later_by_its_delay_and_takes_effect_then() {
    // The first operation is an open, the second a write.
    run(fault(1, Fault::Delay(ms(20))), async |clock, server| {
        let one = connect(&server).await;
        let other = server.connect(1).await.unwrap();
        let (writer, reader) = (open(&*one).await.unwrap(), open(&*other).await.unwrap());
        let begun_ns = clock.now_ns();
        let writing = async {
            writer.write(0, Bytes::from_static(b"x")).await.unwrap();
            assert_eq!(clock.now_ns() - begun_ns, 21 * MS);
        };
        let reading = async {
            clock.sleep_until(begun_ns + 19 * MS).await;
            let before = reader.read(0, 1).await;
            assert_eq!(before, Err(OpError::Status(NtStatus::END_OF_FILE)));
            clock.sleep_until(begun_ns + 21 * MS).await;
            assert_eq!(reader.read(0, 1).await.unwrap(), &b"x"[..]);
        };
        join(writing, reading).await;
        let begun_ns = clock.now_ns();
        writer.flush().await.unwrap();
        assert_eq!(clock.now_ns() - begun_ns, MS, "one reply is delayed");
    });
}

#[test]
fn a_cancel_ends_a_delayed_reply_and_it_has_no_effect() {
    run(fault(1, Fault::Delay(ms(20))), async |clock, server| {
        let connection = connect(&server).await;
        let file = open(&*connection).await.unwrap();
        let begun_ns = clock.now_ns();
        let cancelling = async {
            clock.sleep_until(begun_ns + 5 * MS).await;
            assert!(connection.cancel().await);
        };
        let (cancelled, ()) = join(file.truncate(9), cancelling).await;
        assert_eq!(cancelled, Err(OpError::Status(NtStatus::CANCELLED)));
        assert_eq!(clock.now_ns() - begun_ns, 5 * MS);
        clock.sleep_until(begun_ns + 50 * MS).await;
        assert_eq!(file.read(0, 1).await, Err(OpError::Status(NtStatus::END_OF_FILE)));
    });
}

#[test]
fn a_stall_holds_back_delayed_replies_and_their_cancels() {
    let stalls = || vec![Window::once(ms(10), ms(20))];
    for (cancelled_at_ms, ended_ms) in [(None, 30), (Some(5), 5), (Some(15), 30)] {
        let delayed = fault(0, Fault::Delay(ms(20)));
        run(Settings { stalls: stalls(), ..delayed }, async |clock, server| {
            let connection = connect(&server).await;
            let cancelling = async {
                let Some(at_ms) = cancelled_at_ms else { return };
                clock.sleep_until(at_ms * MS).await;
                assert!(connection.cancel().await);
            };
            let (ended, ()) = join(stat(&*connection), cancelling).await;
            assert_eq!(
                (clock.now_ns(), ended.is_err()),
                (ended_ms * MS, cancelled_at_ms.is_some())
            );
        });
    }
}

#[test]
fn a_cancel_does_not_stop_a_request_that_is_being_carried_out() {
    for delayed in [false, true] {
        let delay = Fault::Delay(ms(20));
        let settings = if delayed { fault(1, delay) } else { settings() };
        run(settings, async |clock, server| {
            let connection = connect(&server).await;
            let file = open(&*connection).await.unwrap();
            let begun_ns = clock.now_ns();
            let cancelling = async {
                clock.sleep_until(begun_ns + MS / 2).await;
                assert!(connection.cancel().await);
            };
            let (truncated, ()) = join(file.truncate(9), cancelling).await;
            // A cancel of the delayed request takes effect once its latency is over.
            assert_eq!(truncated.is_err(), delayed);
            assert_eq!(clock.now_ns() - begun_ns, MS);
        });
    }
}

#[test]
fn a_delayed_reply_is_lost_with_its_connection() {
    run(fault(1, Fault::Delay(ms(20))), async |clock, server| {
        let connection = connect(&server).await;
        let file = open(&*connection).await.unwrap();
        let stopping = async {
            clock.sleep_until(9 * MS).await;
            server.stop();
            server.start();
        };
        let (lost, ()) = join(file.truncate(9), stopping).await;
        assert!(is_lost(&lost));
        assert_eq!(clock.now_ns(), 9 * MS);
        let connection = connect(&server).await;
        let file = open(&*connection).await.unwrap();
        assert_eq!(file.read(0, 1).await, Err(OpError::Status(NtStatus::END_OF_FILE)));
    });
}

/// Returns the outcome and the time of each client's requests. Clients run side by side, each with
/// its own pauses between requests.
fn observed(description: &str, seed: u64, pause_ns: fn(u32) -> u64) -> Vec<Vec<(u64, String)>> {
    let settings = Description::parse(description).unwrap().settings(seed);
    run(settings, async |clock, server| {
        let clients = (0..8).map(|client| {
            let (clock, server) = (&clock, &server);
            async move {
                let mut observed = Vec::new();
                for _connect in 0..2 {
                    let begun_ns = clock.now_ns();
                    let connection = server.connect(client).await.unwrap();
                    observed.push((clock.now_ns() - begun_ns, "connected".into()));
                    for _ in 0..50 {
                        clock.sleep_until(clock.now_ns() + pause_ns(client)).await;
                        let begun_ns = clock.now_ns();
                        let result = format!("{:?}", stat(&*connection).await);
                        observed.push((clock.now_ns() - begun_ns, result));
                    }
                }
                observed
            }
        });
        join_all(clients).await
    })
}

#[test]
fn latencies_and_failures_are_the_same_in_whatever_order_requests_come() {
    let description = "latency=lognormal(2ms,0.8)&fail=DISK_FULL:0.1&fail=ACCESS_DENIED:0.05";
    let in_order = observed(description, 7, |client| u64::from(client) * 1_000 * MS);
    let mixed = observed(description, 7, |client| u64::from(client * 5 % 8) * 300_000);
    assert_eq!(in_order, mixed);
    assert_ne!(in_order, observed(description, 8, |_| 0));
    let different: std::collections::BTreeSet<u64> =
        in_order.iter().flatten().map(|(took_ns, _)| *took_ns).collect();
    assert_eq!(different.len(), 8 * 2 * 51, "no request shares its draw with another");
}

#[test]
fn described_failures_come_in_their_shares_and_spare_connects() {
    let description = "latency=0&fail=DISK_FULL:0.25&fail=STATUS_ACCESS_DENIED:0.05";
    let settings = Description::parse(description).unwrap().settings(7);
    run(settings, async |_, server| {
        let (mut full, mut denied) = (0, 0);
        for client in 0..100 {
            let connection = server.connect(client).await.expect("connects are spared");
            for _ in 0..100 {
                match stat(&*connection).await {
                    Ok(()) => {}
                    Err(OpError::Status(NtStatus::DISK_FULL)) => full += 1,
                    Err(OpError::Status(NtStatus::ACCESS_DENIED)) => denied += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        // The counts are of 10,000 requests. Four standard deviations are 173 and 87.
        assert!((2_327..2_673).contains(&full), "{full}");
        assert!((413..587).contains(&denied), "{denied}");
    });
}

#[test]
fn a_failure_by_description_has_no_effect() {
    let settings = Description::parse("fail=DISK_FULL:1").unwrap().settings(0);
    run(settings, async |_, server| {
        let connection = connect(&server).await;
        let full = Err(OpError::Status(NtStatus::DISK_FULL));
        assert_eq!(open(&*connection).await.map(|_| ()), full);
        let path = SharePath::new("folder").unwrap();
        assert_eq!(connection.execute_misc(&PathOperation::Mkdir { path }).await, full);
        assert_eq!(server.open_handles(), 0);
        let root = SharePath::new("").unwrap();
        let target = smbench::backend::memory::Target::Directory;
        let (root, _) = server.tree().open(&root, target, CreateDisposition::Open).unwrap();
        assert_eq!(root.list("*").unwrap().len(), 0);
    });
}
