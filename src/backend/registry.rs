//! The targets that `--target` accepts, and the backend of each.

use std::fmt;
use std::sync::Arc;

use super::embedded::{EmbeddedBackend, EmbeddedError, Storage};
use super::sim::{Description, DescriptionError, NullBackend, SimBackend};
use super::smb2::{AddressError, Password, Smb2Backend, SmbAddress};
use super::{BackendContext, SMBBackend};

/// The target that `--target` names. Its printed form holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A server in this process.
    Embedded,
    /// A share of a server.
    Smb(SmbAddress),
    /// A model of a server, without network.
    Sim(Description),
    /// A backend that answers every operation with success at once.
    SimNull,
}

/// The error for a string that names no target. It never quotes what may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("unknown target{}: use {}", if named.is_empty() { String::new() } else { format!(" {named:?}") }, known_targets())]
    Unknown {
        /// The string, or empty if it may hold a password.
        named: String,
    },
    #[error("the target {scheme} is not in this version: use {}", known_targets())]
    NotInThisVersion { scheme: &'static str },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Description(#[from] DescriptionError),
}

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TargetKind {
    /// How a target of this kind is written; two forms are separated by a comma.
    pub target: &'static str,
    /// The backend that reaches it.
    pub backend: &'static str,
    /// The fidelity modes of which it has every feature; empty where it cannot be used.
    #[cfg_attr(test, schemars(extend("items" = { "enum": [0, 1, 2] })))]
    pub fidelity_modes: &'static [u8],
    /// The kind of target, in words.
    pub what: &'static str,
    /// The reason why the target cannot be used; null if it can.
    pub unavailable: Option<&'static str>,
}

const NOT_YET: Option<&str> = Some("not in this version");

pub const KINDS: [TargetKind; 7] = [
    TargetKind {
        target: "embedded",
        backend: "embedded",
        fidelity_modes: &[0, 1, 2],
        what: "an SMB 3.1.1 server in this process, on a real socket; grants leases, no oplocks",
        unavailable: None,
    },
    TargetKind {
        target: "smb://user@host[:port]/share[/directory]",
        backend: "smb2",
        fidelity_modes: &[0, 1, 2],
        what: "a share of a server, through crate smb2",
        unavailable: None,
    },
    TargetKind {
        target: "sim[?latency=5ms&...]",
        backend: "sim",
        fidelity_modes: &[0, 1, 2],
        what: "a model of a server without a network: share modes, locks, oplocks, leases, faults",
        unavailable: None,
    },
    TargetKind {
        target: "sim:null",
        backend: "sim:null",
        fidelity_modes: &[0, 1],
        what: "success at once for everything, to measure smbench itself",
        unavailable: None,
    },
    TargetKind {
        target: "smb-rs://user@host[:port]/share[/directory]",
        backend: "smb-rs",
        fidelity_modes: &[],
        what: "a share of a server, through crate smb (smb-rs)",
        unavailable: NOT_YET,
    },
    TargetKind {
        target: "impacket://user@host[:port]/share[/directory]",
        backend: "impacket",
        fidelity_modes: &[],
        what: "a share of a server, through Impacket in Python workers",
        unavailable: NOT_YET,
    },
    TargetKind {
        target: "mount:/path, cifs://user@host/share",
        backend: "mount",
        fidelity_modes: &[],
        what: "the Linux kernel's own client",
        unavailable: NOT_YET,
    },
];

/// Returns the forms in which a target can be written.
pub fn known_targets() -> String {
    let available = KINDS.iter().filter(|kind| kind.unavailable.is_none());
    let forms: Vec<&str> = available.map(|kind| kind.target).collect();
    match forms.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Returns the scheme of `text` if it is one of the unavailable kinds'.
fn unavailable_scheme(text: &str) -> Option<&'static str> {
    let (named, _) = text.split_once(':')?;
    let unavailable = KINDS.iter().filter(|kind| kind.unavailable.is_some());
    let forms = unavailable.flat_map(|kind| kind.target.split(", "));
    forms.filter_map(|form| form.split(':').next()).find(|scheme| *scheme == named)
}

/// The settings with which a target is opened.
#[derive(Clone)]
pub struct BackendSettings {
    pub context: BackendContext,
    /// Number of connections that the run has at a time.
    pub connections: u32,
    /// The password, for a target with a user ([`Target::login`]).
    pub password: Option<Password>,
    /// The storage of the embedded server.
    pub storage: Storage,
    /// The seed of the simulator's random numbers.
    pub seed: u64,
}

/// The reason why a backend could not be opened. The server itself is not contacted yet.
#[derive(Debug, thiserror::Error)]
pub enum OpenTargetError {
    #[error("{target} needs a password: set SMBENCH_PASSWORD")]
    PasswordMissing { target: String },
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
}

impl Target {
    /// Parses the value of `--target`.
    ///
    /// # Errors
    /// [`TargetError`], which lists the known targets.
    pub fn parse(text: &str) -> Result<Target, TargetError> {
        if let Some((scheme, rest)) = text.split_once("://")
            && scheme.eq_ignore_ascii_case("smb")
        {
            return Ok(Target::Smb(SmbAddress::parse(rest)?));
        }
        if let Some(description) = text.strip_prefix("sim?") {
            return Ok(Target::Sim(Description::parse(description)?));
        }
        match text {
            "embedded" => return Ok(Target::Embedded),
            "sim" => return Ok(Target::Sim(Description::default())),
            "sim:null" => return Ok(Target::SimNull),
            _ => {}
        }
        if let Some(scheme) = unavailable_scheme(text) {
            return Err(TargetError::NotInThisVersion { scheme });
        }
        let named = if text.contains('@') { "" } else { text };
        Err(TargetError::Unknown { named: named.chars().take(60).collect() })
    }

    /// Returns the user to log in as, and the server. None if the target names no user.
    pub fn login(&self) -> Option<(&str, String)> {
        match self {
            Target::Smb(address) => Some((address.user.as_deref()?, address.server())),
            Target::Embedded | Target::Sim(_) | Target::SimNull => None,
        }
    }

    /// Returns whether the server runs in this process and so uses this process's processor time.
    pub fn is_in_process(&self) -> bool {
        !matches!(self, Target::Smb(_))
    }

    /// Returns the number of files that this process has open with `connections` connections,
    /// everything else included.
    pub fn open_files(&self, connections: u32) -> u64 {
        const ALL_ELSE: u64 = 128;
        let per_connection = match self {
            // Both ends are in this process.
            Target::Embedded => 2,
            Target::Smb(_) => 1,
            Target::Sim(_) | Target::SimNull => 0,
        };
        ALL_ELSE + per_connection * u64::from(connections)
    }

    /// Makes the backend, and starts the embedded server if it is the target. Connects to nothing
    /// yet.
    ///
    /// # Errors
    /// [`OpenTargetError`].
    pub fn open(&self, settings: BackendSettings) -> Result<Arc<dyn SMBBackend>, OpenTargetError> {
        let BackendSettings { context, connections, password, storage, seed } = settings;
        Ok(match self {
            Target::Embedded => Arc::new(EmbeddedBackend::start(&storage, connections, context)?),
            Target::Smb(address) => {
                let password = match password {
                    Some(password) => password,
                    None if self.login().is_none() => Password::default(),
                    None => {
                        return Err(OpenTargetError::PasswordMissing { target: self.to_string() });
                    }
                };
                Arc::new(Smb2Backend::new(address.clone(), password, context))
            }
            Target::Sim(description) => {
                Arc::new(SimBackend::new(context.clock, description.settings(seed)))
            }
            Target::SimNull => Arc::new(NullBackend),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Embedded => f.write_str("embedded"),
            Target::Smb(address) => address.fmt(f),
            Target::Sim(description) => description.fmt(f),
            Target::SimNull => f.write_str("sim:null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::test_doubles::StoppedClock;

    #[test]
    fn every_target_is_parsed_and_shown_as_it_was_written() {
        for text in [
            "embedded",
            "sim",
            "sim?latency=lognormal(2ms,0.50)&fail=disk_full:.01",
            "sim:null",
            "smb://ann@nas/data/team",
            "smb://nas:4455/d",
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
        assert!(matches!(Target::parse("SMB://nas/data"), Ok(Target::Smb(_))));
    }

    #[test]
    fn every_kind_that_is_listed_is_as_it_says() {
        for kind in KINDS {
            let text = match kind.backend {
                "smb2" => "smb://nas/data",
                "sim" => "sim",
                "mount" => "mount:/mnt",
                _ => kind.target,
            };
            let target = Target::parse(text);
            assert_eq!(target.is_ok(), kind.unavailable.is_none(), "{text}");
            let settings = BackendSettings {
                context: BackendContext {
                    clock: Arc::new(StoppedClock),
                    response_timeout: std::time::Duration::from_secs(1),
                    file_ids: false,
                },
                connections: 1,
                password: None,
                storage: Storage::Memory(Default::default()),
                seed: 0,
            };
            if let Ok(target) = target {
                let capabilities = target.open(settings).unwrap().capabilities();
                let reported = (capabilities.name, &capabilities.fidelity_modes()[..]);
                assert_eq!(reported, (kind.backend, kind.fidelity_modes), "{text}");
            } else {
                assert_eq!(kind.fidelity_modes, [0; 0], "{text} cannot be used");
            }
        }
    }

    #[test]
    fn an_unknown_target_is_answered_with_the_known_ones() {
        for text in ["", "embeded", "sim:nul", "http://nas/x", "nas", "smb:/nas/data"] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains("embedded, smb://user@host"), "{error}");
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_target_of_a_later_version_says_so() {
        for text in ["smb-rs://nas/d", "impacket://nas/d", "mount:/mnt", "cifs://nas/d"] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains("not in this version"), "{error}");
        }
    }

    #[test]
    fn no_error_quotes_a_password() {
        for text in
            ["ann:hunter2@nas/data", "smb://ann:hunter2@nas/data", "smb-rs://ann:hunter2@nas/d"]
        {
            let error = Target::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(!format!("{:?}", Password::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn only_a_user_needs_a_password() {
        let needs = |text| Target::parse(text).unwrap().login().is_some();
        assert!(needs("smb://ann@nas/d"));
        assert!(!needs("smb://nas/d") && !needs("embedded") && !needs("sim"));
    }
}
