//! `smbench targets list` and `smbench targets probe`.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{Args, Subcommand};

use serde::Serialize;

use super::flag_values::{positive_duration, whole_number};
use crate::backend::registry::{KINDS, Target, TargetKind, known_targets};
use crate::run::ListedTarget;

pub const SCHEMA: &str = "smbench.targets/1";

/// List the kinds of targets, or probe what a server supports
#[derive(Clone, Debug, Args)]
pub struct TargetsArgs {
    #[command(subcommand)]
    pub what: TargetsCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum TargetsCommand {
    List(ListArgs),
    Probe(ProbeArgs),
}

/// List the kinds of targets, and those that smbench.toml names
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Find out what a server supports, and where it differs from the reference
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "--help has the variables, the exit codes, and what is done on the server.",
    after_long_help = "\
        Works in a new directory of its own (smbench-probe-…) below the target's, touches nothing else, \
        and removes it at the end.\n\
        A password comes from SMBENCH_PASSWORD, --password-file or a prompt.\n\
        A case that was not run within --timeout, or before Ctrl-C, is reported as not run.\n\
        Exit codes: 0 the probe is complete, whatever differs; 2 bad usage; 3 target unreachable, at the start or later, or no directory can be made there; 4 something essential failed, or something is left on \
        the server; 130 interrupted, by --timeout too. If no case could be run, --json prints nothing, \
        and the error is on standard error."
)]
pub struct ProbeArgs {
    #[arg(help = "smb://…, sim or embedded", long_help = known_targets(), value_name = "TARGET")]
    pub target: String,

    /// File that holds the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Cases that run at a time
    ///
    /// Each uses at most five connections.
    #[arg(
        short, long, value_name = "N", default_value = "8",
        value_parser = whole_number::<u16>(1..=64).try_map(NonZeroU16::try_from)
    )]
    pub jobs: NonZeroU16,

    /// Longest wait for one answer of the server
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = positive_duration)]
    pub op_timeout: Duration,

    /// Longest time for the whole probe
    ///
    /// The removal of its directory comes on top.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = positive_duration)]
    pub timeout: Duration,

    /// Print the report as JSON
    ///
    /// On standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,

    /// Print no progress and no report
    ///
    /// There is no progress line on a terminal, and elsewhere no line every five seconds. Errors
    /// are still printed.
    #[arg(short, long)]
    pub quiet: bool,
}

/// The list that `smbench targets list --json` prints: the kinds of targets. This lists every key of this
/// version; a reader should ignore others, which later versions add.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "smbench targets, version 1"))]
pub struct TargetList {
    /// Name and version of this format.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: &'static str,
    /// Kinds of targets, those first that can be used.
    pub targets: &'static [TargetKind],
    /// Targets that `smbench.toml` names.
    pub named: Vec<NamedTargetLine>,
}

/// A target that `smbench.toml` names.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NamedTargetLine {
    /// Name, as `--target` takes it.
    pub name: String,
    /// The target, without any password.
    pub target: String,
    /// File and line of the target.
    pub place: String,
}

impl TargetList {
    /// Returns the list with the targets of the manifest. A target that cannot be parsed, which may
    /// hold a password, is shown as the reason.
    pub fn new(named: &[ListedTarget]) -> TargetList {
        let named = named.iter().map(|listed| NamedTargetLine {
            name: listed.name.clone(),
            target: match Target::parse(&listed.url) {
                Ok(target) => target.to_string(),
                Err(error) => format!("wrong: {error}"),
            },
            place: listed.place.clone(),
        });
        TargetList { schema: SCHEMA, targets: &KINDS, named: named.collect() }
    }
}

#[cfg(test)]
mod tests {
    use smbench_test_support::Format;

    use super::*;
    use crate::observability::schema;

    #[test]
    fn the_schema_of_targets_is_that_of_the_types_and_refuses_what_is_none() {
        let schema = schema::checked_in::<TargetList>("targets");
        let named = |url: &str| ListedTarget {
            name: "lab".into(),
            url: url.into(),
            place: "smbench.toml:3".into(),
        };
        let list = TargetList::new(&[named("sim"), named("smb://ada:hunter2@nas/data")]);
        let list = serde_json::to_value(list).unwrap();
        assert!(!list.to_string().contains("hunter2"), "{list}");
        Format::Targets.check(&list);
        assert_eq!(schema::unused_keys(&schema, std::slice::from_ref(&list)), [""; 0]);
        for (at, spoiled) in schema::spoiled(&list) {
            let is_refused = !Format::Targets.errors(&spoiled).is_empty();
            let may_be_null = at.ends_with("/unavailable");
            assert_eq!(is_refused, !may_be_null, "{at}: {spoiled}");
        }
    }
}
