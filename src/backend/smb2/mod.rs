//! The native backend: SMB2 and SMB3 through the raw requests of crate smb2, over a transport of
//! its own.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use ::smb2::client::Cipher;
use ::smb2::client::connection::Connection;
use ::smb2::crypto::signing::SigningAlgorithm;
use ::smb2::types::flags::Capabilities;
use ::smb2::{Session, Tree};
use async_trait::async_trait;
use tokio::net::TcpStream;

use super::{
    BackendCapabilities, BackendContext, ConnectError, ConnectStage, Endpoint, Feature, LoginGate,
    OpError, SMBBackend, SMBConnectionInner, ServerDescription,
};
use crate::protocol::NtStatus;

mod acknowledger;
mod address;
mod answer;
mod break_notification;
mod connection;
mod contexts;
mod create_response;
mod frame;
mod handle;
mod negotiate;
mod socket_reader;
mod socket_times;
mod transport;
mod tree_connection;
mod wire_format;

pub use address::{AddressError, SmbAddress};

use break_notification::Decryption;
use connection::Smb2Connection;
use transport::Wire;
use tree_connection::{TreeConnection, described, failure};
use wire_format::{BYTES_PER_CREDIT, MAX_PAYLOAD};

/// A password that `{:?}` never prints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(password: impl Into<String>) -> Password {
        Password(password.into())
    }

    /// Returns the password itself, for a server to compare with.
    pub(in crate::backend) fn revealed(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The backend of `--target smb://…`.
pub struct Smb2Backend {
    address: SmbAddress,
    password: Password,
    context: BackendContext,
    server: OnceLock<ServerDescription>,
    logins: LoginGate,
}

impl Smb2Backend {
    pub fn new(address: SmbAddress, password: Password, context: BackendContext) -> Smb2Backend {
        let (server, logins) = (OnceLock::new(), LoginGate::default());
        Smb2Backend { address, password, context, server, logins }
    }

    async fn reach(&self) -> Result<TcpStream, ConnectError> {
        let place = (self.address.host.as_str(), self.address.port);
        let connected = async {
            let stream = TcpStream::connect(place).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        connected.await.map_err(|error: std::io::Error| {
            self.error(ConnectStage::Connect, error.to_string(), is_transient(error.kind()))
        })
    }

    async fn log_in(
        &self,
        connection: &mut Connection,
        wire: &Wire,
    ) -> Result<(Session, Tree), ConnectError> {
        let address = &self.address;
        if let Err(error) = connection.negotiate().await {
            let failure = failure(error, connection, wire);
            return Err(self.failed(ConnectStage::Negotiate, failure));
        }
        let negotiation = wire.take_negotiation();
        negotiation.hash(connection);
        let session = self.session(connection, wire).await?;
        if let Some(key) = session.decryption_key.clone() {
            // Dialects before 3.1.1 have this cipher and no other (MS-SMB2 3.2.5.2).
            let cipher = connection.params().and_then(|params| params.cipher);
            let cipher = cipher.unwrap_or(Cipher::Aes128Ccm);
            wire.set_decryption(Decryption { session_id: session.session_id.0, key, cipher });
        }
        let tree = match Tree::connect(connection, &address.share).await {
            Ok(tree) => tree,
            Err(error) => {
                let failure = failure(error, connection, wire);
                return Err(self.failed(ConnectStage::Share, failure));
            }
        };
        // The paths are those of the share itself, not of a DFS namespace.
        connection.deregister_dfs_tree(tree.tree_id);
        if tree.encrypt_data && !connection.should_encrypt() {
            let cipher = connection.params().and_then(|params| params.cipher);
            match (&session.encryption_key, &session.decryption_key, cipher) {
                (Some(encrypt), Some(decrypt), Some(cipher)) => {
                    connection.activate_encryption(encrypt.clone(), decrypt.clone(), cipher);
                }
                _ => {
                    let reason = "the share asks for encryption, and the server offered no cipher";
                    return Err(self.error(ConnectStage::Share, reason.to_string(), false));
                }
            }
        }
        let confirmed = negotiation.confirm(connection, &session, tree.tree_id, wire).await;
        confirmed.map_err(|error| self.failed(ConnectStage::Negotiate, error))?;
        Ok((session, tree))
    }

    /// Logs in when it is this client's turn.
    async fn session(
        &self,
        connection: &mut Connection,
        wire: &Wire,
    ) -> Result<Session, ConnectError> {
        let turn = self.logins.enter().await?;
        let user = self.address.user.as_deref().unwrap_or_default();
        let session = Session::setup(connection, user, &self.password.0, &self.address.domain);
        match session.await {
            Ok(session) => {
                turn.accepted();
                Ok(session)
            }
            Err(error) => {
                // Samba may answer a wrong password with a guest's session.
                let guest = matches!(error, ::smb2::Error::GuestSessionRefused { .. });
                let failure = failure(error, connection, wire);
                let mut failed = self.failed(ConnectStage::Login, failure);
                failed.account_refused |= guest;
                if failed.account_refused {
                    turn.refused(failed.clone());
                }
                Err(failed)
            }
        }
    }

    fn failed(&self, stage: ConnectStage, failure: OpError) -> ConnectError {
        let account_refused = match failure {
            OpError::Status(status) => stage == ConnectStage::Login && status.refuses_account(),
            _ => false,
        };
        let (reason, transient) = match failure {
            OpError::Status(status) => (self.explained(stage, status), is_transient_status(status)),
            OpError::ConnectionLost(cause) => (cause, true),
            OpError::Client(reason) => (reason + &self.without_a_user(stage), false),
        };
        ConnectError { account_refused, ..self.error(stage, reason, transient) }
    }

    fn explained(&self, stage: ConnectStage, status: NtStatus) -> String {
        let described = described(status);
        match (stage, status) {
            (ConnectStage::Login | ConnectStage::Share, _)
                if self.address.user.is_none() && status != NtStatus::BAD_NETWORK_NAME =>
            {
                described + &self.without_a_user(stage)
            }
            (ConnectStage::Login, NtStatus::LOGON_FAILURE) => {
                format!("{described}: check the user's name and SMBENCH_PASSWORD")
            }
            (ConnectStage::Share, NtStatus::BAD_NETWORK_NAME) => {
                format!("{described}: the server has no share {:?}", self.address.share)
            }
            (
                ConnectStage::Directory,
                NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND,
            ) => format!(
                "{described}: share {:?} has no directory \"{}\"; create it first",
                self.address.share, self.address.directory
            ),
            (ConnectStage::Directory, _) => {
                format!("{described} for \"{}\"", self.address.directory)
            }
            _ => described,
        }
    }

    /// Returns the advice for a guest who is refused. In most cases the user name was forgotten.
    fn without_a_user(&self, stage: ConnectStage) -> String {
        if self.address.user.is_some()
            || !matches!(stage, ConnectStage::Login | ConnectStage::Share)
        {
            return String::new();
        }
        let named = SmbAddress { user: Some("USER".to_string()), ..self.address.clone() };
        format!(
            ": the target names no user, so smbench connected as a guest; to log in, write {named} and set SMBENCH_PASSWORD"
        )
    }

    fn error(&self, stage: ConnectStage, reason: String, transient: bool) -> ConnectError {
        let Endpoint { server, user } = self.endpoint();
        ConnectError { server, user, stage, reason, transient, account_refused: false }
    }
}

#[async_trait]
impl SMBBackend for Smb2Backend {
    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities { name: "smb2", features: Feature::ALL.into(), instant: false }
    }

    async fn connect(&self, client_idx: u32) -> Result<Box<dyn SMBConnectionInner>, ConnectError> {
        let stream = self.reach().await?;
        let (mut connection, wire) =
            Wire::connection(stream, &self.address.host, self.context.clock.clone());
        let patience = self.context.response_timeout;
        connection.set_response_timeout(Some(patience));
        connection.set_send_timeout(Some(patience));
        connection.set_credit_wait_timeout(patience);
        // A lock may wait for a long time although nothing is wrong.
        connection.set_stale_request_warning(None);
        // The connection does not reconnect by itself, because it has no reviver.
        connection.set_compression_requested(false);

        let (session, tree) = self.log_in(&mut connection, &wire).await?;
        self.server.get_or_init(|| describe(&connection, &session));
        let (max_read, max_write) = payload_limits(&connection);
        let link = TreeConnection { connection, tree: tree.tree_id, wire, max_read, max_write };
        let directory = self.address.directory.clone();
        let (link, file_ids) = (Arc::new(link), self.context.file_ids);
        let client =
            Smb2Connection { link, directory, client_idx, file_ids, breaks: Mutex::default() };
        if !self.address.directory.is_root() {
            let directory = client.open_directory().await;
            directory.map_err(|error| self.failed(ConnectStage::Directory, error))?;
        }
        Ok(Box::new(client))
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { server: self.address.server(), user: self.address.user.clone() }
    }

    fn server(&self) -> ServerDescription {
        self.server.get().cloned().unwrap_or_default()
    }
}

/// Returns the maximum payload of one READ and of one WRITE, in bytes. Without multi-credit
/// requests it is what one credit pays for (MS-SMB2 3.2.4.1.5).
fn payload_limits(connection: &Connection) -> (u32, u32) {
    let Some(params) = connection.params() else { return (BYTES_PER_CREDIT, BYTES_PER_CREDIT) };
    let most = match params.capabilities.contains(Capabilities::LARGE_MTU) {
        true => MAX_PAYLOAD,
        false => BYTES_PER_CREDIT,
    };
    (params.max_read_size.min(most), params.max_write_size.min(most))
}

/// Describes what was negotiated, and nothing that was only offered.
fn describe(connection: &Connection, session: &Session) -> ServerDescription {
    let params = connection.params();
    let signing = session.should_sign.then_some(match session.signing_algorithm {
        SigningAlgorithm::HmacSha256 => "HMAC-SHA256",
        SigningAlgorithm::AesCmac => "AES-128-CMAC",
        SigningAlgorithm::AesGmac => "AES-128-GMAC",
    });
    let cipher = params.as_ref().and_then(|params| params.cipher);
    let encryption = cipher.filter(|_| connection.should_encrypt()).map(|cipher| match cipher {
        Cipher::Aes128Ccm => "AES-128-CCM",
        Cipher::Aes128Gcm => "AES-128-GCM",
        Cipher::Aes256Ccm => "AES-256-CCM",
        Cipher::Aes256Gcm => "AES-256-GCM",
    });
    ServerDescription {
        dialect: params
            .as_ref()
            .map(|params| params.dialect.to_string().trim_start_matches("SMB ").to_string()),
        signing: signing.map(str::to_string),
        encryption: encryption.map(str::to_string),
        server: params
            .map(|params| params.server_guid.to_string().trim_matches(['{', '}']).to_string()),
    }
}

fn is_transient(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind;
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
            | ErrorKind::AddrNotAvailable
    )
}

/// Returns whether the status is transient: the server is short of a resource, or not up yet.
fn is_transient_status(status: NtStatus) -> bool {
    matches!(
        status,
        NtStatus::INSUFFICIENT_RESOURCES
            | NtStatus::NO_MEMORY
            | NtStatus::REQUEST_NOT_ACCEPTED
            | NtStatus::IO_TIMEOUT
            | NtStatus::UNEXPECTED_NETWORK_ERROR
    )
}
