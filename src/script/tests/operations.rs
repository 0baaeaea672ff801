use std::sync::Arc;

use super::*;
use crate::ir::document::line::DocumentLine;
use crate::ir::{
    Due, Expect, Feature, FileControl, HandleOperation, HandleRef, OpenMode, OpenOperation,
    OperationKind, PathOperation, Pattern, Payload,
};
use crate::protocol::create::{CreateDisposition, OplockLevel};
use crate::protocol::{CreateParameters, Durable, NtStatus, SharePath};

fn path(text: &str) -> SharePath {
    SharePath::new(text).unwrap()
}

fn kinds(body: &str) -> Vec<OperationKind> {
    iteration(body).operations().into_iter().map(|operation| operation.kind).collect()
}

#[test]
fn every_method_makes_its_operation() {
    let made = kinds(
        r#"
        local h = c:open("a\\b//f", "rw")
        c:write(h, 0, "64KiB")
        c:read(h, 4096, 100)
        c:truncate(h, 0)
        c:flush(h)
        c:lock(h, 0, 10)
        c:unlock(h, 0, 10)
        c:lock(h, 1, 2, { exclusive = false, wait = true })
        c:close(h)
        c:rename("a", "b")
        c:rename("a", "b", { replace = false })
        c:delete("a")
        c:mkdir("d")
        c:rmdir("d")
        c:stat("d")
        c:list("d")
        c:list("", "*.docx")"#,
    );
    let h = HandleRef(0);
    let expected = [
        OperationKind::Open(OpenOperation {
            path: path("a/b/f"),
            mode: OpenMode::ReadWrite,
            disposition: CreateDisposition::OpenIf,
            handle_ref: h,
            extensions: None,
        }),
        HandleOperation::Write {
            offset: 0,
            length: 65_536,
            payload: Payload::Pattern(Pattern::Random),
        }
        .on(h),
        HandleOperation::Read { offset: 4_096, length: 100 }.on(h),
        FileControl::Truncate { size: 0 }.on(h),
        FileControl::Flush.on(h),
        FileControl::Lock { offset: 0, length: 10, exclusive: true, wait: false }.on(h),
        FileControl::Unlock { offset: 0, length: 10 }.on(h),
        FileControl::Lock { offset: 1, length: 2, exclusive: false, wait: true }.on(h),
        HandleOperation::Close.on(h),
        OperationKind::ByPath(PathOperation::Rename {
            source_path: path("a"),
            dest_path: path("b"),
            replace: true,
        }),
        OperationKind::ByPath(PathOperation::Rename {
            source_path: path("a"),
            dest_path: path("b"),
            replace: false,
        }),
        OperationKind::ByPath(PathOperation::Delete { path: path("a") }),
        OperationKind::ByPath(PathOperation::Mkdir { path: path("d") }),
        OperationKind::ByPath(PathOperation::Rmdir { path: path("d") }),
        OperationKind::ByPath(PathOperation::Stat { path: path("d") }),
        OperationKind::ByPath(PathOperation::List { path: path("d"), pattern: "*".into() }),
        OperationKind::ByPath(PathOperation::List { path: path(""), pattern: "*.docx".into() }),
    ];
    assert_eq!(made, expected);
}

#[test]
fn the_mode_of_open_implies_its_disposition() {
    let dispositions: Vec<_> = kinds(r#"c:open("a", "r") c:open("a", "w") c:open("a", "rw")"#)
        .into_iter()
        .map(|kind| match kind {
            OperationKind::Open(OpenOperation { mode, disposition, handle_ref, .. }) => {
                (mode, disposition, handle_ref.0)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        dispositions,
        [
            (OpenMode::Read, CreateDisposition::Open, 0),
            (OpenMode::Write, CreateDisposition::OverwriteIf, 1),
            (OpenMode::ReadWrite, CreateDisposition::OpenIf, 2),
        ]
    );
}

#[test]
fn open_takes_the_fields_of_create_by_name_or_number() {
    let made = kinds(
        r#"c:open("a", "r", { share_mode = "read|delete", disposition = "FILE_CREATE", file_attributes = 0x20 })"#,
    );
    let expected = CreateParameters {
        share_mode: Some(5),
        disposition: Some(CreateDisposition::Create),
        file_attributes: Some(0x20),
        ..CreateParameters::default()
    };
    match &made[0] {
        OperationKind::Open(OpenOperation { extensions: Some(extensions), .. }) => {
            assert_eq!(**extensions, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn open_takes_oplocks_leases_durable_handles_and_contexts_and_documents_keep_them() {
    let operations = iteration(
        r#"
        c:open("a", "rw", { requested_oplock = "batch" })
        c:open("b", "rw", { lease = "RWH", expect = "any" })
        c:open("c", "rw", {
            lease = { state = "RH", key = "00112233445566778899aabbccddeeff" },
            durable = { version = 2, timeout = "60s" },
            create_contexts = { { name = "MxAc" }, { name = "ExtA", data = "00ff" } },
        })"#,
    )
    .operations();
    let extensions: Vec<CreateParameters> = (operations.iter())
        .map(|operation| match &operation.kind {
            OperationKind::Open(OpenOperation { extensions: Some(extensions), .. }) => {
                (**extensions).clone()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let none = CreateParameters::default();
    assert_eq!(
        extensions[0],
        CreateParameters { requested_oplock: Some(OplockLevel::Batch), ..none }
    );
    let lease = |extensions: &CreateParameters| extensions.lease.unwrap();
    assert_eq!((lease(&extensions[1]).state, lease(&extensions[1]).key), (7, None));
    assert_eq!(lease(&extensions[2]).key.unwrap()[15], 0xFF);
    assert_eq!(extensions[2].durable, Some(Durable { version: 2, timeout_ms: 60_000 }));
    assert_eq!(extensions[2].create_contexts[1].data, [0, 0xFF]);
    let needed: Vec<_> = operations.iter().flat_map(Feature::needed_by).collect();
    assert_eq!(needed, [Feature::Caching; 3]);
    let lines: Vec<_> = operations
        .iter()
        .map(|operation| serde_json::to_value(DocumentLine::from_operation(operation)).unwrap())
        .map(|line| line["extensions"]["smb"].to_string())
        .collect();
    assert_eq!(
        lines,
        [
            r#"{"requested_oplock":"SMB2_OPLOCK_LEVEL_BATCH"}"#,
            r#"{"lease":{"state":"SMB2_LEASE_READ_CACHING|SMB2_LEASE_HANDLE_CACHING|SMB2_LEASE_WRITE_CACHING","version":2}}"#,
            r#"{"create_contexts":[{"data":"","name":"MxAc"},{"data":"00ff","name":"ExtA"}],"durable":{"timeout":"60000ms","version":2},"lease":{"key":"00112233445566778899aabbccddeeff","state":"SMB2_LEASE_READ_CACHING|SMB2_LEASE_HANDLE_CACHING","version":2}}"#,
        ]
    );
}

#[test]
fn expect_takes_a_status_a_list_or_any() {
    let expected: Vec<Expect> = iteration(
        r#"
        c:stat("a")
        c:stat("a", { expect = "object_name_not_found" })
        c:stat("a", { expect = { "STATUS_SUCCESS", "ACCESS_DENIED" } })
        c:list("a", { expect = "any" })
        c:list("a", "*", { expect = "any" })"#,
    )
    .operations()
    .into_iter()
    .map(|operation| operation.expect)
    .collect();
    let statuses = |list: &[NtStatus]| Expect::Statuses(Arc::from(list));
    assert_eq!(
        expected,
        [
            Expect::Default,
            statuses(&[NtStatus::OBJECT_NAME_NOT_FOUND]),
            statuses(&[NtStatus::SUCCESS, NtStatus::ACCESS_DENIED]),
            Expect::Any,
            Expect::Any,
        ]
    );
}

#[test]
fn think_and_at_say_when_an_operation_is_due() {
    let due: Vec<Due> = iteration(
        r#"
        c:stat("a")
        c:think("1ms") c:think(2000)
        c:stat("a")
        c:at("1s") c:think("5ms")
        c:stat("a")
        c:think(1234.5678)
        c:stat("a")
        c:think("0") c:think(0)
        c:stat("a")"#,
    )
    .operations()
    .into_iter()
    .map(|operation| operation.due)
    .collect();
    assert_eq!(
        due,
        [
            Due::After(0),
            Due::After(1_002_000),
            Due::At(1_005_000_000),
            Due::After(1_235),
            Due::After(0),
        ]
    );
}

#[test]
fn a_handle_from_setup_is_good_in_every_iteration_and_numbers_are_used_again() {
    let operations = script(
        r#"
        local kept = {}
        bench.workload {
            name = "w",
            setup = function(c) kept[c.id] = c:open("log", "w") end,
            iteration = function(c)
                c:write(kept[c.id], 0, 1)
                local h = c:open("f", "r")
                c:close(h)
            end,
        }"#,
    )
    .with(|options| options.iterations = Some(2))
    .operations();
    let handles: Vec<u32> =
        operations.iter().map(|operation| operation.kind.handle_ref().unwrap().0).collect();
    assert_eq!(handles, [0, 0, 1, 1, 0, 1, 1]);
}

#[test]
fn clients_have_their_number_and_iteration() {
    let operations = script(
        r#"
        bench.workload { name = "a", clients = 2, iteration = function(c) c:stat("a" .. c.id .. "-" .. c.iteration) end }
        bench.workload { name = "b", clients = 2, iteration = function(c) c:stat("b" .. c.id) end }"#,
    )
    .with(|options| options.iterations = Some(2))
    .operations();
    let seen: Vec<(u32, u32, u32, String)> = operations
        .iter()
        .map(|operation| {
            let path = operation.kind.path().unwrap().to_string();
            (operation.client_idx, operation.seq, operation.iteration, path)
        })
        .collect();
    let expected = [
        (0, 0, 0, "a0-0"),
        (0, 1, 1, "a0-1"),
        (1, 0, 0, "a1-0"),
        (1, 1, 1, "a1-1"),
        (2, 0, 0, "b0"),
        (2, 1, 1, "b0"),
        (3, 0, 0, "b1"),
        (3, 1, 1, "b1"),
    ]
    .map(|(client, seq, iteration, path)| (client, seq, iteration, path.to_string()));
    assert_eq!(seen, expected);
}

#[test]
fn a_loop_over_running_counts_its_rounds_as_iterations() {
    let operations = iteration(
        r#"
        while c:running() do c:stat("in") end
        c:stat("after")"#,
    )
    .with(|options| options.iterations = Some(3))
    .operations();
    let seen: Vec<(u32, &str)> = operations
        .iter()
        .map(|operation| (operation.iteration, operation.kind.path().unwrap().as_str()))
        .collect();
    assert_eq!(seen, [(0, "in"), (1, "in"), (2, "in"), (2, "after")]);
}

#[test]
fn a_nominal_bound_ends_the_stream_at_the_next_boundary() {
    let operations = iteration("c:stat('a') c:think('10ms') c:stat('b')")
        .with(|options| {
            options.iterations = None;
            options.nominal_bound_ns = Some(25_000_000);
        })
        .operations();
    assert_eq!(operations.len(), 6);
    assert_eq!(operations[5].iteration, 2);
}

#[test]
fn a_batch_may_end_where_one_call_is_given_all_results_of_another() {
    let nested = iteration("for i = 1, 5 do c:stat('b') c:close(c:open('a', 'r')) end");
    let made = |batch| all(&mut nested.load().unwrap(), batch).unwrap();
    assert_eq!(made(64).len(), 15);
    for batch in 1..=7 {
        assert_eq!(made(batch), made(64), "in batches of {batch}");
    }
}

#[test]
fn sizes_as_strings_are_exact_over_64_bits() {
    let operations = iteration(
        "local h = c:open('f', 'rw')
        c:lock(h, '9007199254740993', 1)
        c:lock(h, '18446744073709551615', '18446744073709551614')
        c:truncate(h, '9223372036854775807')
        c:read(h, '9223372036854775806', 1)
        c:write(h, 9007199254740991, '1.5KiB')",
    )
    .operations();
    let numbers: Vec<(u64, u64)> = operations[1..]
        .iter()
        .map(|operation| match operation.kind {
            OperationKind::OnHandle(
                _,
                HandleOperation::Control(FileControl::Lock { offset, length, .. }),
            )
            | OperationKind::OnHandle(_, HandleOperation::Read { offset, length, .. })
            | OperationKind::OnHandle(_, HandleOperation::Write { offset, length, .. }) => {
                (offset, length)
            }
            OperationKind::OnHandle(
                _,
                HandleOperation::Control(FileControl::Truncate { size, .. }),
            ) => (size, 0),
            ref other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ((1 << 53) + 1, 1),
        (u64::MAX, u64::MAX - 1),
        (i64::MAX as u64, 0),
        (i64::MAX as u64 - 1, 1),
        ((1 << 53) - 1, 1_536),
    ];
    assert_eq!(numbers, expected);
}
