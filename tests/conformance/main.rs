//! The conformance suite, run against every backend: what a workload may rely on with any server
//! and client stack. It prints a table of cases and servers, and with `CONFORMANCE_TABLE=1` also
//! writes it to `target/conformance.txt`.

mod panics;
mod table;
mod through_connection_state;

use std::io::Write;
use std::mem;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use smbench::backend::embedded::{EmbeddedBackend, EmbeddedServer, SHARE, ServerSettings, Storage};
use smbench::backend::memory::MemoryLimits;
use smbench::backend::sim::{NullBackend, SimBackend, SimSettings};
use smbench::backend::smb2::{Password, Smb2Backend, SmbAddress};
use smbench::backend::{BackendContext, Clock, Feature, SMBBackend};
use smbench::probe::{
    self, Case, CaseProgress, CaseVerdict, DEVIATIONS, Selection, SuiteLimits, SuiteResults,
};
use smbench::protocol::SharePath;
use smbench_test_support::Samba;
use tokio::sync::{Mutex, watch};

use crate::panics::{Panic, PanicWatch};
use crate::table::{Server, judge};

struct WallClock(Instant);

impl Clock for WallClock {
    fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }

    fn sleep_until(&self, deadline_ns: u64) -> BoxFuture<'static, ()> {
        let deadline = self.0 + Duration::from_nanos(deadline_ns);
        tokio::time::sleep_until(deadline.into()).boxed()
    }
}

fn context() -> BackendContext {
    BackendContext {
        clock: Arc::new(WallClock(Instant::now())),
        response_timeout: Duration::from_secs(40),
        file_ids: false,
    }
}

/// Returns every backend that is available on this host. Samba is among them if `samba` is given,
/// and runs as long as that lives.
fn backends(samba: Option<&Samba>) -> Vec<(&'static str, Arc<dyn SMBBackend>)> {
    let sim = SimBackend::new(context().clock, SimSettings::default());
    let memory = Storage::Memory(MemoryLimits::default());
    let embedded = EmbeddedBackend::start(&memory, 64, context()).unwrap();
    let mut backends: Vec<(&'static str, Arc<dyn SMBBackend>)> =
        vec![("sim", Arc::new(sim)), ("embedded", Arc::new(embedded))];
    if let Some(samba) = samba {
        let url = samba.url();
        let address = SmbAddress::parse(url.strip_prefix("smb://").unwrap()).unwrap();
        let smb2 = Smb2Backend::new(address, Password::new(Samba::PASSWORD), context());
        backends.push(("samba", Arc::new(smb2)));
    }
    backends
}

const LIMITS: SuiteLimits = SuiteLimits {
    wait: Duration::from_secs(10),
    case: Duration::from_secs(20),
    cleaning: Duration::from_secs(10),
    whole: Duration::from_secs(500),
};

const AT_A_TIME: NonZeroU16 = NonZeroU16::new(8).unwrap();

/// The right to run whole suites. The tests take turns, because each of their cases has a bound of
/// time, and several suites side by side make a host of two processors too slow for it.
static TURN: Mutex<()> = Mutex::const_new(());

async fn run(
    server: &Arc<dyn SMBBackend>,
    cases: &[&Case],
    at_a_time: NonZeroU16,
    on_step: &dyn Fn(CaseProgress, &Case),
) -> SuiteResults {
    let root = SharePath::new("conformance").unwrap();
    let (_stop, never) = watch::channel(false);
    let asked = Selection { cases, on_test_server: true, at_a_time };
    probe::run(server, &root, asked, LIMITS, never, on_step).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_backend_conforms() {
    let _turn = TURN.lock().await;
    let cases = probe::all();
    let samba = Samba::start(smbench_test_support::Settings::default());
    let backends = backends(samba.as_ref());
    let watch = PanicWatch::new(samba.as_ref());
    let asked = backends.iter().map(async |(name, server)| {
        let on_step = |step, case: &Case| {
            if *name == "samba" {
                watch.on_step(step, case.name);
            }
        };
        Server { name, results: run(server, &cases, AT_A_TIME, &on_step).await }
    });
    let servers = join_all(asked).await;
    let mut judged = judge(&cases, &servers, DEVIATIONS);
    let panics = watch.end();
    judged.table.extend(panics.iter().map(|panic| format!("samba: {panic}\n")));
    judged.faults.extend(panics.iter().filter(|panic| panic.known.is_none()).map(Panic::to_string));
    // This bypasses the capture of output, because the table is for readers of a passing run too.
    std::io::stderr().write_all(judged.table.as_bytes()).unwrap();
    if std::env::var_os("CONFORMANCE_TABLE").is_some() {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        std::fs::write(target.join("conformance.txt"), &judged.table).unwrap();
    }
    let reference = cases.iter().zip(&servers[0].results.verdicts);
    let not_granted =
        reference.filter(|(_, verdict)| matches!(verdict, CaseVerdict::NotGranted(_)));
    // The simulator models everything but durable handles.
    judged.faults.extend(
        not_granted
            .filter(|(case, _)| !case.name.contains("durable"))
            .map(|(case, verdict)| format!("sim, the reference: {}: {verdict:?}", case.name)),
    );
    assert!(judged.faults.is_empty(), "\n{}", judged.faults.join("\n"));
}

/// Runs the cases of locks that wait against the embedded server through the client for any server,
/// as a probe of `smbench serve` does. The embedded backend leaves them out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_served_alone_refuses_locks_that_wait() {
    let waits = |case: &&Case| case.needs.contains(&Feature::BlockingLocks);
    let cases: Vec<&Case> = probe::all().into_iter().filter(waits).collect();
    assert!(!cases.is_empty());
    let password = Password::new("for a test");
    let server = EmbeddedServer::start(&ServerSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        user: "tester".into(),
        password: password.clone(),
        storage: Storage::Memory(MemoryLimits::default()),
        read_only: false,
        connections: 64,
        lists_shares: false,
    });
    let server = server.unwrap();
    let address = SmbAddress::parse(&format!("tester@{}/{SHARE}", server.address())).unwrap();
    let backend: Arc<dyn SMBBackend> = Arc::new(Smb2Backend::new(address, password, context()));
    let results = run(&backend, &cases, AT_A_TIME, &|_, _| {}).await;
    let judged = judge(&cases, &[Server { name: "embedded", results }], DEVIATIONS);
    let stale = |fault: &&String| !fault.ends_with("names no case");
    assert_eq!(judged.faults.iter().find(stale), None, "{}", judged.table);
    assert!(judged.table.contains("deviates"), "{}", judged.table);
}

/// Runs all cases against `sim:null`, which succeeds at everything and reads zeros. A case that it
/// passed would prove nothing about a server.
#[tokio::test]
async fn a_server_that_agrees_to_everything_passes_no_case() {
    let cases = probe::all();
    let null: Arc<dyn SMBBackend> = Arc::new(NullBackend);
    let results = run(&null, &cases, AT_A_TIME, &|_, _| {}).await;
    let passed = cases.iter().zip(&results.verdicts);
    let passed = passed.filter(|(_, verdict)| matches!(verdict, CaseVerdict::Pass));
    let passed: Vec<&str> = passed.map(|(case, _)| case.name).collect();
    assert_eq!(passed, Vec::<&str>::new());
}

/// Checks that the verdict of a case does not depend on the cases that run beside it. For Samba,
/// `every_backend_conforms` checks it, because each of Samba's deviations is listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_case_at_a_time_or_eight_find_the_same() {
    let _turn = TURN.lock().await;
    let cases = probe::all();
    let asked = backends(None).into_iter().map(async |(name, server)| {
        let alone = run(&server, &cases, NonZeroU16::MIN, &|_, _| {}).await;
        let beside = run(&server, &cases, AT_A_TIME, &|_, _| {}).await;
        (name, alone.verdicts, beside.verdicts)
    });
    for (name, alone, beside) in join_all(asked).await {
        for ((case, alone), beside) in cases.iter().zip(alone).zip(beside) {
            // The details may differ, because a server may send several breaks in any order.
            let same = mem::discriminant(&alone) == mem::discriminant(&beside);
            assert!(same, "{name}: {}: {alone:?} alone, {beside:?} beside others", case.name);
        }
    }
}

#[test]
fn every_case_has_a_name_of_its_own_and_a_section() {
    let cases = probe::all();
    let names: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
    assert!(cases.len() >= 150, "{}", cases.len());
    for case in cases {
        let section = case.section.split_once(' ').expect(case.name);
        assert!(["MS-SMB2", "MS-FSA", "MS-FSCC"].contains(&section.0), "{}", case.name);
    }
}
