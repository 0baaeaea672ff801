//! `smbench scripts list` and `smbench scripts show`.

use std::fmt::Write;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::style::{BOLD, Style};
use crate::observability::columns::{left_aligned, width};
use crate::script::{READY_WORKLOADS, ReadyWorkload};

pub const SCHEMA: &str = "smbench.scripts/1";

/// List the ready workloads, or print one to start from
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
        smbench run @scripts/NAME         runs one; compile and validate take it too\n\
        smbench run @scripts/NAME --help  shows its parameters\n\
        smbench scripts show NAME >my.lua saves it to start from")]
pub struct ScriptsArgs {
    #[command(subcommand)]
    pub what: Option<ScriptsCommand>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ScriptsCommand {
    List(ListScriptsArgs),
    Show(ShowArgs),
}

/// List the ready workloads, each with what it models
#[derive(Clone, Debug, Args)]
pub struct ListScriptsArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Print the source of a ready workload
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// Name of the workload
    #[arg(value_name = "NAME", hide_possible_values = true, value_parser = names())]
    pub script: &'static ReadyWorkload,
}

/// Returns the parser of a name, with or without `@scripts/`. Shells complete the names.
fn names() -> impl TypedValueParser<Value = &'static ReadyWorkload> {
    let name = |ready: &ReadyWorkload| PossibleValue::new(ready.name).alias(ready.to_string());
    PossibleValuesParser::new(READY_WORKLOADS.iter().map(name)).try_map(|name| {
        let bare = ReadyWorkload::named_by(&name).unwrap_or(&name);
        ReadyWorkload::find(bare)
    })
}

/// The list that `smbench scripts list --json` prints: the ready workloads. This lists every key of
/// this version; a reader should ignore others, which later versions add.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "smbench scripts, version 1"))]
pub struct ScriptList {
    /// Name and version of this format.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: &'static str,
    /// Ready workloads, sorted by name.
    pub scripts: Vec<ListedScript>,
}

/// A ready workload.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedScript {
    /// Name, which `@scripts/` precedes where a script is named.
    pub name: &'static str,
    /// The first line of its header, which says what it models.
    pub summary: &'static str,
}

impl Default for ScriptList {
    fn default() -> ScriptList {
        let scripts = READY_WORKLOADS.iter();
        let scripts = scripts.map(|one| ListedScript { name: one.name, summary: one.summary() });
        ScriptList { schema: SCHEMA, scripts: scripts.collect() }
    }
}

/// Returns a line for each ready workload.
pub fn render_scripts(scripts: &[ReadyWorkload], style: Style) -> String {
    let names = scripts.iter().map(|script| width(script.name)).max().unwrap_or(0);
    let mut text = String::new();
    for script in scripts {
        let name = style.paint(BOLD, left_aligned(script.name, names));
        let _ = writeln!(text, "{name}  {}", script.summary());
    }
    text
}

#[cfg(test)]
mod tests {
    use smbench_test_support::Format;

    use super::super::command::{Cli, Command};
    use super::*;
    use crate::observability::schema;

    #[test]
    fn the_schema_of_scripts_is_that_of_the_types_and_refuses_what_is_none() {
        let schema = schema::checked_in::<ScriptList>("scripts");
        let list = serde_json::to_value(ScriptList::default()).unwrap();
        Format::Scripts.check(&list);
        assert_eq!(schema::unused_keys(&schema, std::slice::from_ref(&list)), [""; 0]);
        for (at, spoiled) in schema::spoiled(&list) {
            assert!(!Format::Scripts.errors(&spoiled).is_empty(), "{at}: {spoiled}");
        }
    }

    #[test]
    fn each_ready_workload_has_a_line_that_fits_a_terminal() {
        let text = render_scripts(&READY_WORKLOADS, Style::plain(80));
        assert_eq!(text.lines().count(), READY_WORKLOADS.len());
        for line in text.lines() {
            assert!(width(line) <= 80, "{line}");
            assert!(line.split_once("  ").is_some_and(|(_, summary)| summary.len() > 10), "{line}");
        }
    }

    #[test]
    fn a_script_is_shown_by_its_name_and_by_the_word_that_runs_it() {
        for name in ["varmail", "@scripts/varmail"] {
            let cli = Cli::parse_from_args(["smbench", "scripts", "show", name]).unwrap();
            let Command::Scripts(ScriptsArgs { what: Some(ScriptsCommand::Show(args)) }) =
                cli.command
            else {
                panic!("not scripts show");
            };
            assert_eq!(args.script.name, "varmail");
        }
    }
}
