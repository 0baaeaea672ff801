//! One suite for every backend: what a workload may rely on, whatever server
//! and client stack it runs against. Prints a table of case × backend.

mod client;
mod data;
mod deletes;
mod deviations;
mod folders;
mod locks;
mod names;
mod opens;
mod renames;
mod sharing;
mod suite;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smbench::backend::embedded::{EmbeddedBackend, Storage};
use smbench::backend::memory::Limits;
use smbench::backend::sim::{NullBackend, Settings, SimBackend};
use smbench::backend::smb2::{Password, Smb2Backend, SmbAddress};
use smbench::backend::{BackendContext, Clock, SMBBackend};
use smbench_test_support::Samba;

use crate::suite::{Case, Verdict};

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
    }
}

/// Every backend there is on this machine; a server lives as long as `samba`.
fn backends(samba: Option<&Samba>) -> Vec<(&'static str, Box<dyn SMBBackend>)> {
    let sim = SimBackend::new(context().clock, Settings::default());
    let memory = Storage::Memory(Limits::default());
    let embedded = EmbeddedBackend::start(&memory, 8, context()).unwrap();
    let mut backends: Vec<(&'static str, Box<dyn SMBBackend>)> =
        vec![("sim", Box::new(sim)), ("embedded", Box::new(embedded))];
    if let Some(samba) = samba {
        let url = samba.url();
        let address = SmbAddress::parse(url.strip_prefix("smb://").unwrap()).unwrap();
        let smb2 = Smb2Backend::new(address, Password::new(Samba::PASSWORD), context());
        backends.push(("samba", Box::new(smb2)));
    }
    backends
}

fn cases() -> Vec<&'static Case> {
    let parts = [
        opens::CASES,
        data::CASES,
        renames::CASES,
        deletes::CASES,
        folders::CASES,
        names::CASES,
        locks::CASES,
        sharing::CASES,
    ];
    parts.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_backend_conforms() {
    let cases = cases();
    let samba = Samba::start(smbench_test_support::Settings::default());
    let mut columns = Vec::new();
    for (name, server) in &backends(samba.as_ref()) {
        columns.push(suite::run(name, &**server, &cases).await);
    }
    let (table, faults) = suite::judge(&cases, &columns, deviations::DEVIATIONS);
    // Past the capture of output: the table is for those who read a green run too.
    std::io::stderr().write_all(table.as_bytes()).unwrap();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// `sim:null` succeeds at everything and reads zeros: a case it passes would
/// tell nothing about a server.
#[tokio::test]
async fn a_server_that_agrees_to_everything_passes_no_case() {
    let cases = cases();
    let column = suite::run("null", &NullBackend, &cases).await;
    let passed = cases.iter().zip(&column.verdicts);
    let passed = passed.filter(|(_, verdict)| matches!(verdict, Verdict::Pass));
    let passed: Vec<&str> = passed.map(|(case, _)| case.name).collect();
    assert_eq!(passed, Vec::<&str>::new());
}
