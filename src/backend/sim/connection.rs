//! A client's side of a simulated connection.

use std::sync::Arc;

use async_trait::async_trait;

use super::handle::SimHandle;
use super::link::Link;
use crate::backend::memory::{Target, matches};
use crate::backend::{OpError, SMBConnectionInner, SMBFileHandle};
use crate::ir::{OpenMode, OperationKind};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateParameters, NtStatus, SharePath};

/// Dropping it breaks the connection, as a vanished client does.
pub struct SimConnection {
    link: Arc<Link>,
}

impl SimConnection {
    pub fn new(link: Arc<Link>) -> SimConnection {
        SimConnection { link }
    }

    fn carry_out(&self, operation: &OperationKind) -> Result<(), OpError> {
        let tree = &self.link.server.tree;
        let done = match operation {
            OperationKind::Rename { source_path, dest_path, replace } => {
                tree.rename(source_path, dest_path, *replace)
            }
            OperationKind::Delete { path } => tree.delete(path, Target::File),
            OperationKind::Rmdir { path } => tree.delete(path, Target::Directory),
            OperationKind::Mkdir { path } => {
                tree.open(path, Target::Directory, CreateDisposition::Create).map(|_| ())
            }
            OperationKind::Stat { path } => {
                tree.open(path, Target::Any, CreateDisposition::Open).map(|(node, _)| {
                    node.info();
                })
            }
            OperationKind::List { path, pattern } => self.list(path, pattern),
            other => {
                let name = other.operation_type().name();
                return Err(OpError::Client(format!("{name} is not an operation by path")));
            }
        };
        done.map_err(OpError::Status)
    }

    /// A pattern that finds nothing is STATUS_NO_SUCH_FILE (MS-SMB2 3.3.5.18);
    /// `.` and `..` are found as well.
    fn list(&self, path: &SharePath, pattern: &str) -> Result<(), NtStatus> {
        let tree = &self.link.server.tree;
        let (node, _) = tree.open(path, Target::Directory, CreateDisposition::Open)?;
        let found = !node.list(pattern)?.is_empty();
        if found || matches(pattern, ".") || matches(pattern, "..") {
            Ok(())
        } else {
            Err(NtStatus::NO_SUCH_FILE)
        }
    }
}

#[async_trait]
impl SMBConnectionInner for SimConnection {
    async fn open_simple(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.link.request().await?;
        let opened = self.link.server.tree.open(path, Target::File, disposition);
        let (node, _) = opened.map_err(OpError::Status)?;
        let number = self.link.add(node, mode)?;
        Ok(Box::new(SimHandle::new(self.link.clone(), number)))
    }

    /// Of the parameters, the disposition alone is modelled.
    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        let modelled =
            CreateParameters { disposition: parameters.disposition, ..CreateParameters::default() };
        if *parameters != modelled {
            return Err(OpError::Client(
                "the simulator honours no other extension of open than disposition".into(),
            ));
        }
        self.open_simple(path, mode, parameters.disposition.unwrap_or(disposition)).await
    }

    async fn execute_misc(&self, operation: &OperationKind) -> Result<(), OpError> {
        self.link.request().await?;
        self.carry_out(operation)
    }

    async fn cancel(&self) -> bool {
        self.link.cancel();
        true
    }

    async fn disconnect(self: Box<Self>) {
        self.link.lose("the client disconnected");
    }
}

impl Drop for SimConnection {
    fn drop(&mut self) {
        self.link.lose("the client disconnected");
    }
}
