//! Operations that name a lease whose key the stream does not name.

use super::Breaks;
use crate::backend::{OpError, SMBConnectionInner, SMBFileHandle};
use crate::ir::{OpenMode, PathOperation};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateParameters, Lease, NtStatus, SharePath};

/// Opens a file as asked for. If the lease names no key, the request names the client's key for the
/// file. A server refuses that key if another client has renamed the file and this client does not
/// know it yet. The file now at the path then gets a key of its own, in a second request of the
/// same operation.
///
/// # Errors
/// The same as for [`SMBConnectionInner::open_extended`].
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

/// Executes an operation by path. If it would break the client's own lease of the file, the request
/// names that lease, because a server breaks no lease for an operation under its own key. If the
/// server answers that the lease belongs to another file, for the reason given at [`open_keyed`],
/// the operation is sent again without the lease.
///
/// # Errors
/// The same as for [`SMBConnectionInner::execute_misc`].
pub async fn execute_keyed(
    inner: &dyn SMBConnectionInner,
    breaks: &Breaks,
    operation: &PathOperation,
) -> Result<(), OpError> {
    let lease = match operation {
        PathOperation::Rename { source_path: path, .. } | PathOperation::Delete { path } => {
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
