//! Operations that name a lease whose key the stream does not.

use super::Breaks;
use crate::backend::{OpError, SMBConnectionInner, SMBFileHandle};
use crate::ir::{OpenMode, OperationKind};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateParameters, Lease, NtStatus, SharePath};

/// Opens as asked for, with the key the client has for the file where a lease
/// names none. A server refuses it where another client renamed the file and
/// that is not known here yet: what is at the path then gets a key of its own,
/// in a second request of the same operation.
///
/// # Errors
/// As [`SMBConnectionInner::open_extended`].
pub async fn open_keyed(
    inner: &dyn SMBConnectionInner,
    breaks: &Breaks,
    path: &SharePath,
    (mode, disposition): (OpenMode, CreateDisposition),
    asked: &CreateParameters,
) -> Result<Box<dyn SMBFileHandle>, OpError> {
    let Some(lease) = asked.lease.filter(|lease| lease.key.is_none()) else {
        return inner.open_extended(path, mode, disposition, asked).await;
    };
    let mut refused = None;
    loop {
        let key = breaks.lease_key(path, refused);
        let lease = Some(Lease { key: Some(key), ..lease });
        let keyed = CreateParameters { lease, ..asked.clone() };
        match inner.open_extended(path, mode, disposition, &keyed).await {
            Err(OpError::Status(NtStatus::INVALID_PARAMETER)) if refused.is_none() => {
                tracing::debug!(path = path.as_str(), "opened again with another lease key");
                refused = Some(key);
            }
            ended => return ended,
        }
    }
}

/// Executes an operation by path. Where it would take from the client's own
/// lease of the file, it names that: two leases of one client are one to a
/// server, as its two opens are. It does not where the server finds the lease
/// to be of another file, for the reason `open_keyed` has.
///
/// # Errors
/// As [`SMBConnectionInner::execute_misc`].
pub async fn execute_keyed(
    inner: &dyn SMBConnectionInner,
    breaks: &Breaks,
    operation: &OperationKind,
) -> Result<(), OpError> {
    let lease = match operation {
        OperationKind::Rename { source_path: path, .. } | OperationKind::Delete { path } => {
            breaks.lease_of(path)
        }
        _ => None,
    };
    let Some(lease) = lease else { return inner.execute_misc(operation).await };
    match inner.execute_under_lease(operation, &lease).await {
        Err(OpError::Status(NtStatus::INVALID_PARAMETER)) => {
            tracing::debug!(?operation, "asked again without the lease");
            inner.execute_misc(operation).await
        }
        ended => ended,
    }
}
