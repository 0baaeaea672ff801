//! The throughput of smbench, from the Lua script to the summary, as a ratio to that of the crate
//! `smb2` alone, with the same Samba and the same allocator, in turns: `cargo bench --bench
//! smb2_ratio`
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::smb2::client::connection::{Connection, Frame};
use ::smb2::msg::close::CloseRequest;
use ::smb2::msg::create::{
    CreateDisposition as WireDisposition, CreateRequest, CreateResponse, ImpersonationLevel,
    ShareAccess,
};
use ::smb2::msg::read::ReadRequest;
use ::smb2::msg::write::WriteRequest;
use ::smb2::pack::{Pack, ReadCursor, Unpack};
use ::smb2::types::flags::FileAccessMask;
use ::smb2::types::{Command, CreditCharge, FileId, OplockLevel};
use ::smb2::{Session, Tree};
use smbench::backend::smb2::SmbAddress;
use smbench::run::Input;
use smbench_test_support::{Samba, Settings};

mod support;

use support::{load, median};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;
const RUN: Duration = Duration::from_secs(1);
const GOAL: f64 = 0.9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Read(u32),
    Write(u32),
    OpenClose,
}

const WORK: [(&str, Work); 4] = [
    ("read 4 KiB", Work::Read(4 << 10)),
    ("open+close", Work::OpenClose),
    ("read 1 MiB", Work::Read(1 << 20)),
    ("write 1 MiB", Work::Write(1 << 20)),
];

fn main() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "{:<12} {:>5} {:>14} {:>14} {:>7}",
        "", "conns", "crate smb2 /s", "smbench /s", "ratio"
    );
    let mut reached = true;
    for (name, work) in WORK {
        for connections in [1, 16] {
            let mut theirs = Vec::new();
            let mut ours = Vec::new();
            for run in 0..RUNS {
                let mut theirs_now = || {
                    theirs.push(runtime.block_on(theirs_rate(&samba, work, connections)));
                };
                let mut ours_now = || {
                    ours.push(self::ours(&samba, directory.path(), work, connections as u32));
                };
                if run % 2 == 0 {
                    theirs_now();
                    ours_now();
                } else {
                    ours_now();
                    theirs_now();
                }
            }
            let (theirs, ours) = (median(theirs), median(ours));
            let ratio = ours / theirs;
            reached &= ratio >= GOAL;
            println!("{name:<12} {connections:>5} {theirs:>14.0} {ours:>14.0} {ratio:>7.2}");
        }
    }
    println!("every ratio at least {GOAL}: {}", if reached { "yes" } else { "NO" });
    println!("load average afterwards {}", load());
}

/// Returns the operations per second of crate `smb2` over all connections, without the time to
/// connect.
async fn theirs_rate(samba: &Samba, work: Work, connections: usize) -> f64 {
    let start = Arc::new(tokio::sync::Barrier::new(connections));
    let clients: Vec<_> = (0..connections)
        .map(|i| tokio::spawn(run_theirs(samba.url(), work, format!("f{i}"), start.clone())))
        .collect();
    let mut operations = 0;
    for client in clients {
        operations += client.await.unwrap();
    }
    operations as f64 / RUN.as_secs_f64()
}

// Crate `smb2` with its own transport, in a bare loop.

async fn run_theirs(
    url: String,
    work: Work,
    name: String,
    start: Arc<tokio::sync::Barrier>,
) -> u64 {
    let address = SmbAddress::parse(url.trim_start_matches("smb://")).unwrap();
    let timeout = Duration::from_secs(10);
    let mut connection = Connection::connect(&address.server(), timeout).await.unwrap();
    connection.negotiate().await.unwrap();
    let user = address.user.as_deref().unwrap();
    Session::setup(&mut connection, user, Samba::PASSWORD, "").await.unwrap();
    let tree = Tree::connect(&mut connection, &address.share).await.unwrap();
    let send = async |command, body: &dyn Pack, credits| -> Frame {
        let sent = connection.execute_with_credits(
            command,
            body,
            Some(tree.tree_id),
            CreditCharge(credits),
        );
        let frame = sent.await.unwrap();
        assert_eq!(frame.header.status.0, 0);
        frame
    };
    let create = CreateRequest {
        requested_oplock_level: OplockLevel::None,
        impersonation_level: ImpersonationLevel::Impersonation,
        desired_access: FileAccessMask::new(0x0012_019f),
        file_attributes: 0x80,
        share_access: ShareAccess(7),
        create_disposition: WireDisposition::FileOpenIf,
        create_options: 0x40,
        name,
        create_contexts: Vec::new(),
    };
    let open = async || -> FileId {
        let frame = send(Command::Create, &create, 1).await;
        CreateResponse::unpack(&mut ReadCursor::new(&frame.body)).unwrap().file_id
    };
    let file_id = open().await;
    let write = |length: u32| WriteRequest {
        data_offset: 112,
        offset: 0,
        file_id,
        channel: 0,
        remaining_bytes: 0,
        write_channel_info_offset: 0,
        write_channel_info_length: 0,
        flags: 0,
        data: vec![7; length as usize],
    };
    let read = |length: u32| ReadRequest {
        padding: 0x50,
        flags: 0,
        length,
        offset: 0,
        file_id,
        minimum_count: 0,
        channel: 0,
        remaining_bytes: 0,
        read_channel_info: Vec::new(),
    };
    send(Command::Write, &write(1 << 20), 16).await;
    start.wait().await;
    let started = Instant::now();
    let mut operations = 0;
    match work {
        Work::Read(length) => {
            let request = read(length);
            while started.elapsed() < RUN {
                send(Command::Read, &request, length.div_ceil(65536) as u16).await;
                operations += 1;
            }
        }
        Work::Write(length) => {
            let request = write(length);
            while started.elapsed() < RUN {
                send(Command::Write, &request, length.div_ceil(65536) as u16).await;
                operations += 1;
            }
        }
        Work::OpenClose => {
            while started.elapsed() < RUN {
                let file_id = open().await;
                send(Command::Close, &CloseRequest { flags: 0, file_id }, 1).await;
                operations += 1;
            }
        }
    }
    operations
}

// smbench: a script, from Lua to the summary.

fn script(work: Work) -> String {
    let body = match work {
        Work::Read(length) => format!("c:read(handles[c.id], 0, {length})"),
        Work::Write(length) => format!("c:write(handles[c.id], 0, {length})"),
        Work::OpenClose => "c:close(c:open(\"f\" .. c.id, \"rw\"))".into(),
    };
    format!(
        "local handles = {{}}
bench.workload {{
  name = \"ratio\", clients = 1,
  setup = function(c)
    handles[c.id] = c:open(\"f\" .. c.id, \"rw\")
    c:write(handles[c.id], 0, 1048576)
  end,
  iteration = function(c) {body} end,
}}
"
    )
}

fn ours(samba: &Samba, directory: &Path, work: Work, clients: u32) -> f64 {
    let path = directory.join("ratio.lua");
    std::fs::write(&path, script(work)).unwrap();
    let input = Input::Script(support::script(&path, clients));
    let summary = support::run(&input, &samba.url(), Some(RUN));
    let operations_a_turn = if work == Work::OpenClose { 2.0 } else { 1.0 };
    summary.totals.operations_per_s / operations_a_turn
}
