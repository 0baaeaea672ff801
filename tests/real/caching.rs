//! Tests of what servers grant: oplocks, leases, durable handles, and the identity of a file.

use smbench::backend::smb2::{Password, Smb2Backend, SmbAddress};
use smbench::backend::{BackendContext, SMBBackend};
use smbench::protocol::create::{CreateDisposition, OplockLevel};
use smbench::protocol::{
    CreateAction, CreateContext, CreateParameters, Durable, Granted, GrantedLease, Lease,
    LeaseState, lease_key,
};
use smbench_test_support::{Samba, Settings};

use crate::start::{
    Servers, context, create, embedded, lease, open, open_asking, oplock, path, rename,
    samba_backend,
};

const KEY: [u8; 16] = [0xAB; 16];
const PARENT: [u8; 16] = [0xCD; 16];

fn keyed(state: LeaseState, version: u8) -> CreateParameters {
    let lease = Lease { state: state.bits(), key: Some(KEY), parent_key: None, version };
    CreateParameters { lease: Some(lease), ..CreateParameters::default() }
}

async fn granted(
    connection: &dyn smbench::backend::SMBConnectionInner,
    name: &str,
    parameters: &CreateParameters,
) -> Granted {
    let file = open_asking(connection, name, parameters).await;
    let granted = file.granted().unwrap();
    assert_eq!(file.granted_oplock(), Some(granted.oplock));
    file.close().await.unwrap();
    granted
}

#[tokio::test]
async fn an_open_returns_the_create_action_and_requests_nothing_more() {
    for connection in Servers::start().connections().await {
        let file = create(&*connection, "plain").await;
        let created = file.granted().unwrap();
        file.close().await.unwrap();
        assert_eq!(created.action, CreateAction::Created);
        assert_eq!(
            (created.oplock, created.lease, created.durable),
            (OplockLevel::None, None, None)
        );
        assert_eq!(created.disk_file_id, None, "a plain open costs what it did");
        let action = async |disposition| {
            let file = open(&*connection, "plain", disposition).await.unwrap();
            let action = file.granted().unwrap().action;
            file.close().await.unwrap();
            action
        };
        assert_eq!(action(CreateDisposition::Open).await, CreateAction::Opened);
        assert_eq!(action(CreateDisposition::OverwriteIf).await, CreateAction::Overwritten);
    }
}

#[tokio::test]
async fn samba_grants_every_oplock_that_is_asked_for() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let connection = samba_backend(&samba).connect(0).await.unwrap();
    for level in [OplockLevel::II, OplockLevel::Exclusive, OplockLevel::Batch] {
        let granted = granted(&*connection, "file", &oplock(level)).await;
        assert_eq!((granted.oplock, granted.lease), (level, None));
    }
    // The second open of a file gets only an oplock that can be shared.
    let first = open_asking(&*connection, "file", &oplock(OplockLevel::II)).await;
    let second = granted(&*connection, "file", &oplock(OplockLevel::Batch)).await;
    assert_eq!(second.oplock, OplockLevel::II);
    first.close().await.unwrap();
}

#[tokio::test]
async fn both_versions_of_a_lease_are_granted_with_their_key() {
    for connection in Servers::start().connections().await {
        for (version, epoch) in [(1, 0), (2, 1)] {
            let granted = granted(&*connection, "file", &keyed(LeaseState::RWH, version)).await;
            let lease = GrantedLease {
                key: KEY,
                state: LeaseState::RWH,
                breaking: false,
                parent_key: None,
                epoch,
            };
            assert_eq!((granted.oplock, granted.lease), (OplockLevel::Lease, Some(lease)));
        }
    }
}

#[tokio::test]
async fn a_lease_without_a_key_gets_the_clients_own_for_the_path() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let backend = samba_backend(&samba);
    let connection = backend.connect(3).await.unwrap();
    let granted = granted(&*connection, "docs.txt", &lease(LeaseState::RH)).await.lease.unwrap();
    assert_eq!(granted.key, lease_key(3, &path("DOCS.TXT"), 0));
    assert_eq!(granted.state, LeaseState::RH);
}

#[tokio::test]
async fn a_lease_grows_when_the_file_is_opened_again_with_its_key() {
    for connection in Servers::start().connections().await {
        let first = open_asking(&*connection, "file", &keyed(LeaseState::R, 2)).await;
        assert_eq!(first.granted().unwrap().lease.unwrap().state, LeaseState::R);
        let grown = granted(&*connection, "file", &keyed(LeaseState::RWH, 2)).await.lease.unwrap();
        assert_eq!((grown.key, grown.state, grown.epoch), (KEY, LeaseState::RWH, 2));
        // A request for a smaller state takes nothing away (MS-SMB2 3.3.5.9.11).
        let less = granted(&*connection, "file", &keyed(LeaseState::R, 2)).await.lease.unwrap();
        assert_eq!((less.state, less.epoch), (LeaseState::RWH, 2));
        first.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_parent_key_is_returned_with_the_lease_if_directories_have_leases() {
    let asked = Lease { state: 7, key: Some(KEY), parent_key: Some(PARENT), version: 2 };
    let parameters = CreateParameters { lease: Some(asked), ..CreateParameters::default() };
    let backend = embedded();
    let connection = backend.connect(0).await.unwrap();
    let lease = granted(&*connection, "file", &parameters).await.lease.unwrap();
    assert_eq!((lease.key, lease.parent_key), (KEY, Some(PARENT)));
    // Samba 4.17 has no leases of directories and does not repeat the parent key.
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let connection = samba_backend(&samba).connect(0).await.unwrap();
    let lease = granted(&*connection, "file", &parameters).await.lease.unwrap();
    assert_eq!((lease.key, lease.state), (KEY, LeaseState::RWH));
    assert!(lease.parent_key.is_none_or(|parent| parent == PARENT));
}

#[tokio::test]
async fn a_durable_handle_is_granted_to_who_holds_a_batch_oplock_or_a_handle_lease() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let connection = samba_backend(&samba).connect(0).await.unwrap();
    let durable = |version, timeout_ms| Some(Durable { version, timeout_ms });
    let with = |durable, base: CreateParameters| CreateParameters { durable, ..base };
    let batch = oplock(OplockLevel::Batch);
    let first = granted(&*connection, "file", &with(durable(1, 0), batch.clone())).await;
    assert_eq!(first.durable, durable(1, 0));
    let second = granted(&*connection, "file", &with(durable(2, 30_000), batch)).await;
    assert_eq!(second.durable, durable(2, 30_000));
    let leased =
        granted(&*connection, "file", &with(durable(2, 0), keyed(LeaseState::RH, 2))).await;
    assert!(leased.durable.is_some_and(|durable| durable.timeout_ms > 0), "the server's own");
    // Without an oplock or a lease, a durable handle is not granted. That is no error.
    let bare =
        granted(&*connection, "file", &with(durable(2, 0), CreateParameters::default())).await;
    assert_eq!((bare.durable, bare.oplock), (None, OplockLevel::None));
}

#[tokio::test]
async fn a_file_keeps_its_identity_through_a_rename_and_no_other_has_it() {
    for connection in Servers::start().connections().await {
        let batch = lease(LeaseState::R);
        let before = granted(&*connection, "before", &batch).await.disk_file_id;
        let other = granted(&*connection, "other", &batch).await.disk_file_id;
        connection.execute_misc(&rename("before", "after", false)).await.unwrap();
        let after = granted(&*connection, "after", &batch).await.disk_file_id;
        assert!(before.is_some());
        assert_eq!(after, before);
        assert_ne!(other, before);
    }
}

/// Tests that all opens of a file get its id, so that a break of one blocks the others, by whatever
/// name they were opened.
#[tokio::test]
async fn if_file_numbers_are_requested_a_plain_open_gets_the_number_of_a_leased_one() {
    let Some(samba) = Samba::start(Settings::default()) else { return };
    let address = SmbAddress::parse(samba.url().strip_prefix("smb://").unwrap()).unwrap();
    let context = BackendContext { file_ids: true, ..context() };
    let backend = Smb2Backend::new(address, Password::new(Samba::PASSWORD), context);
    let connection = backend.connect(0).await.unwrap();
    let plain = create(&*connection, "before").await;
    connection.execute_misc(&rename("before", "after", false)).await.unwrap();
    let leased = granted(&*connection, "after", &lease(LeaseState::R)).await;
    let plain = plain.granted().unwrap();
    assert!(plain.disk_file_id.is_some());
    assert_eq!((plain.disk_file_id, plain.oplock), (leased.disk_file_id, OplockLevel::None));
}

#[tokio::test]
async fn raw_contexts_are_answered_as_the_server_sees_fit() {
    for connection in Servers::start().connections().await {
        let context =
            |name: &[u8], data: &[u8]| CreateContext { name: name.into(), data: data.into() };
        // A lease context built by hand, beside a context that the server cannot know.
        let mut asked = KEY.to_vec();
        asked.extend([7, 0, 0, 0]);
        asked.resize(32, 0);
        let parameters = CreateParameters {
            requested_oplock: Some(OplockLevel::Lease),
            create_contexts: vec![context(b"Hmm?", &[1, 2, 3]), context(b"RqLs", &asked)],
            ..CreateParameters::default()
        };
        let granted = granted(&*connection, "file", &parameters).await.lease.unwrap();
        assert_eq!((granted.key, granted.state), (KEY, LeaseState::RWH));
    }
}

#[tokio::test]
async fn the_embedded_server_grants_leases_and_no_oplocks() {
    let backend = embedded();
    let connection = backend.connect(0).await.unwrap();
    for level in [OplockLevel::II, OplockLevel::Exclusive, OplockLevel::Batch] {
        let granted = granted(&*connection, "file", &oplock(level)).await;
        assert_eq!((granted.oplock, granted.lease), (OplockLevel::None, None), "{level:?}");
    }
}
