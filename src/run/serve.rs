//! `smbench serve`: the embedded server alone, for any SMB client, until a signal ends it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;

use super::error::RunError;
use super::signals::Signals;
use crate::backend::embedded::{EmbeddedServer, SHARE, ServerSettings, Storage, USER};
use crate::backend::open_files::raise_open_file_limit;
use crate::backend::smb2::{Password, SmbAddress};
use crate::protocol::SharePath;

/// Maximum number of connections at a time, if the limit of open files allows it.
const CONNECTIONS: u64 = 4_096;
/// Number of open files in addition to one for each connection: the program's own, and those that
/// clients have open in a directory.
const OTHER_FILES: u64 = 4_096;
/// Longest wait for connections to end after a signal.
const ENDING: Duration = Duration::from_secs(5);

/// The options of a server that runs alone.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub listen: SocketAddr,
    /// The name of the only user; by default `smbench`, on a loopback address only.
    pub user: Option<String>,
    pub password: Option<Password>,
    pub storage: Storage,
    pub read_only: bool,
}

impl ServeOptions {
    /// Returns the name of the only user.
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(USER)
    }

    /// Checks the options that need no password, so that none is asked for in vain.
    ///
    /// # Errors
    /// The address needs a user to be named, or the user's name is not valid in a URL or for NTLM.
    pub fn check(&self) -> Result<(), RunError> {
        if !self.listen.ip().is_loopback() && self.user.is_none() {
            return Err(RunError::invalid(anyhow::anyhow!(
                "--listen {}: other hosts can reach this address, so the user must be named: add --user NAME",
                self.listen
            )));
        }
        let user = self.user();
        let named = self.url(self.listen);
        let parsed = named.strip_prefix("smb://").map(SmbAddress::parse);
        let same = parsed.is_some_and(|parsed| {
            parsed.is_ok_and(|address| address.user.as_deref() == Some(user))
        });
        // NTLM uses this name for a client that does not log in.
        let same = same && !user.eq_ignore_ascii_case("anonymous");
        match same {
            true => Ok(()),
            false => Err(RunError::invalid(anyhow::anyhow!(
                "--user {user:?} is not a valid user name: write one that is not empty, has no \":\" and is not \"anonymous\""
            ))),
        }
    }

    /// Returns the URL of the share on a server at `address`.
    fn url(&self, address: SocketAddr) -> String {
        let host = if address.ip().is_unspecified() { host_name() } else { None };
        let address = SmbAddress {
            domain: String::new(),
            user: Some(self.user().to_string()),
            host: host.unwrap_or_else(|| address.ip().to_string()),
            // Before the server listens, the port may be 0; any other port serves for the check.
            port: address.port().max(1),
            share: SHARE.to_string(),
            directory: SharePath::default(),
        };
        address.to_string()
    }
}

/// Serves until a signal comes. Calls `ready` with the URL once the server listens.
///
/// # Errors
/// The options are invalid, the directory or the address cannot be used, `ready` failed, or the
/// server ended by itself.
pub fn serve(
    options: &ServeOptions,
    ready: impl FnOnce(&str) -> Result<(), RunError>,
) -> Result<(), RunError> {
    options.check()?;
    let password = options.password.clone().filter(|password| !password.is_empty());
    let password = password.ok_or_else(|| {
        RunError::invalid(anyhow::anyhow!(
            "the server needs a password for its user {:?}: set SMBENCH_PASSWORD or --password-file",
            options.user()
        ))
    })?;
    let connections = match raise_open_file_limit(CONNECTIONS + OTHER_FILES) {
        Ok(()) => CONNECTIONS,
        Err(error) => (error.limit / 2).clamp(1, CONNECTIONS),
    };
    let (runtime, mut signals) = Signals::listen()?;
    let mut server = EmbeddedServer::start(&ServerSettings {
        listen: options.listen,
        user: options.user().to_string(),
        password,
        storage: options.storage.clone(),
        read_only: options.read_only,
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
        lists_shares: true,
    })
    .map_err(RunError::invalid)?;
    ready(&options.url(server.address()))?;
    runtime.block_on(async {
        tokio::select! {
            () = signals.next() => {}
            ended = server.ended() => {
                return ended.context("the server ended").map_err(RunError::internal);
            }
        }
        tracing::info!("ending: connections have {} s", ENDING.as_secs());
        server.shut_down();
        tokio::select! {
            () = signals.next() => {}
            _ = server.ended() => {}
            () = tokio::time::sleep(ENDING) => {}
        }
        Ok(())
    })
}

/// Returns the name under which other hosts may know this one, if the system has it.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_string()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryLimits;

    fn options(listen: &str, user: Option<&str>) -> ServeOptions {
        ServeOptions {
            listen: listen.parse().unwrap(),
            user: user.map(String::from),
            password: None,
            storage: Storage::Memory(MemoryLimits::default()),
            read_only: false,
        }
    }

    #[test]
    fn only_a_loopback_address_has_a_default_user_and_every_user_fits_into_the_url() {
        for listen in ["127.0.0.1:0", "127.1.2.3:445", "[::1]:4455"] {
            options(listen, None).check().unwrap();
        }
        for listen in ["0.0.0.0:4455", "[::]:4455", "192.0.2.1:445", "[2001:db8::1]:445"] {
            let error = options(listen, None).check().unwrap_err().to_string();
            assert!(error.contains(listen) && error.contains("--user NAME"), "{error}");
            options(listen, Some("ada")).check().unwrap();
        }
        for user in ["ada", "ada lovelace", "a@b", "a/b", "a;b", "ädä", "100%"] {
            options("127.0.0.1:4455", Some(user)).check().unwrap();
        }
        for user in ["", "a:b", "Anonymous"] {
            assert!(options("127.0.0.1:4455", Some(user)).check().is_err(), "{user:?}");
        }
        let url = options("[::1]:4455", Some("a@b")).url("[::1]:5000".parse().unwrap());
        assert_eq!(url, "smb://a%40b@[::1]:5000/share");
    }

    #[test]
    fn without_a_password_nothing_is_served() {
        for password in [None, Some(Password::new(""))] {
            let options = ServeOptions { password, ..options("127.0.0.1:0", None) };
            let error = serve(&options, |url| panic!("{url}")).unwrap_err();
            assert!(error.to_string().contains("set SMBENCH_PASSWORD"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
