//! A client's side of a simulated connection.

use std::sync::Arc;

use async_trait::async_trait;

use super::create_request::CreateRequest;
use super::handle::SimHandle;
use super::link::Link;
use super::opening::Opened;
use super::opens::access::{DELETE, READ_DATA};
use crate::backend::memory::{Target, matches};
use crate::backend::{BreakStream, OpError, SMBConnectionInner, SMBFileHandle, break_channel};
use crate::ir::{OpenMode, PathOperation};
use crate::protocol::create::CreateDisposition;
use crate::protocol::{CreateParameters, Lease, NtStatus, SharePath};

/// A client's side of a connection. Dropping it breaks the connection, as a client that vanishes
/// does.
pub struct SimConnection {
    link: Arc<Link>,
    breaks: Option<BreakStream>,
}

impl SimConnection {
    pub fn new(link: Arc<Link>) -> SimConnection {
        let (sender, stream) = break_channel(link.clone());
        link.send_breaks_to(Some(sender));
        SimConnection { link, breaks: Some(stream) }
    }

    async fn carry_out(
        &self,
        operation: &PathOperation,
        lease: Option<&Lease>,
    ) -> Result<(), OpError> {
        self.link.request().await?;
        let (link, server) = (&self.link, &self.link.server);
        let existing = |path, target, access| {
            CreateRequest::by_path(path, target, CreateDisposition::Open, access)
        };
        match operation {
            PathOperation::Rename { source_path, dest_path, replace } => {
                let request = existing(source_path, Target::Any, DELETE).under(lease);
                let source = link.open_briefly(&request).await?;
                link.until_done(|| server.rename(&source, dest_path, *replace)).await
            }
            PathOperation::Delete { path } => {
                self.delete(&existing(path, Target::File, DELETE).under(lease)).await
            }
            PathOperation::Rmdir { path } => {
                self.delete(&existing(path, Target::Directory, DELETE)).await
            }
            PathOperation::Mkdir { path } => {
                let (target, new) = (Target::Directory, CreateDisposition::Create);
                let request = CreateRequest::by_path(path, target, new, READ_DATA);
                link.open_briefly(&request).await.map(drop)
            }
            PathOperation::Stat { path } => {
                let opened = link.open_briefly(&existing(path, Target::Any, 0)).await?;
                opened.node.info();
                Ok(())
            }
            PathOperation::List { path, pattern } => {
                let request = existing(path, Target::Directory, READ_DATA);
                let folder = link.open_briefly(&request).await?;
                list(&folder, pattern).map_err(OpError::Status)
            }
        }
    }

    async fn delete(&self, request: &CreateRequest<'_>) -> Result<(), OpError> {
        let opened = self.link.open_briefly(request).await?;
        self.link.until_done(|| self.link.server.delete(&opened, true)).await
    }
}

/// Lists a directory. A pattern that matches nothing is STATUS_NO_SUCH_FILE (MS-SMB2 3.3.5.18), but
/// `.` and `..` count as matches.
fn list(folder: &Opened, pattern: &str) -> Result<(), NtStatus> {
    let found = !folder.node.list(pattern)?.is_empty();
    if found || matches(pattern, ".") || matches(pattern, "..") {
        Ok(())
    } else {
        Err(NtStatus::NO_SUCH_FILE)
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
        self.open_extended(path, mode, disposition, &CreateParameters::default()).await
    }

    async fn open_extended(
        &self,
        path: &SharePath,
        mode: OpenMode,
        disposition: CreateDisposition,
        parameters: &CreateParameters,
    ) -> Result<Box<dyn SMBFileHandle>, OpError> {
        self.link.request().await?;
        let client = self.link.client_idx;
        let request = CreateRequest::new(client, path, mode, disposition, parameters);
        let opened = self.link.open(&request.map_err(OpError::Status)?).await?;
        Ok(Box::new(SimHandle::new(self.link.clone(), &opened)))
    }

    async fn execute_misc(&self, operation: &PathOperation) -> Result<(), OpError> {
        self.carry_out(operation, None).await
    }

    async fn execute_under_lease(
        &self,
        operation: &PathOperation,
        lease: &Lease,
    ) -> Result<(), OpError> {
        self.carry_out(operation, Some(lease)).await
    }

    async fn cancel(&self) -> bool {
        self.link.cancel();
        true
    }

    fn has_ended(&self) -> bool {
        self.link.has_ended()
    }

    fn breaks(&mut self) -> Option<BreakStream> {
        self.breaks.take()
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
