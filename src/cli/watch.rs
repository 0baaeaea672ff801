//! `smbench watch`

use clap::Args;

use super::run::RunArgs;

/// Run a script, and reload it when it changes
///
/// Like run --watch. When the content of the script, of a module, of a document, of a parameter
/// file or of smbench.toml changes, the new version is loaded beside the running one. If it cannot
/// be run, a line says where and why, and the run goes on as it was. Otherwise each client moves
/// to it after its present iteration, and the new version is compared with the one before.
#[derive(Clone, Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "smbench watch [OPTIONS] <SCRIPT|DOCUMENT>",
    after_help = "On a terminal: r reloads now, q ends the run. --help has every flag.",
    after_long_help = "On a terminal the key r reloads now, and q ends the run as at its planned \
        end; Ctrl-C interrupts it. Without --duration, phases or another bound the run lasts \
        until then.\n\
        Changed phases, a first bench.setup and other flags need a restart; the line of a refused \
        edit says so.\n\
        The exit codes are those of smbench run."
)]
pub struct WatchArgs {
    #[command(flatten)]
    pub run: RunArgs,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::command::{Cli, Command};
    use super::*;

    fn watched(line: &str) -> Result<RunArgs, String> {
        let cli = Cli::parse_from_args(line.split_whitespace()).map_err(|error| {
            assert_eq!(error.exit_code(), 2, "{line}");
            error.to_string().lines().next().unwrap_or_default().to_string()
        })?;
        match cli.command {
            Command::Watch(args) => Ok(args.run),
            Command::Run(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn watch_is_run_with_the_flag_watch_and_takes_the_flags_of_run() {
        let args = watched("smbench watch s.lua --target sim --limit 3 -p users=3").unwrap();
        assert!(args.watch);
        assert_eq!((&*args.target, args.limit), ("sim", Some(3)));
        assert_eq!(args.reload_grace, Duration::from_secs(30));
        let args = watched("smbench run s.lua --watch --reload-grace 1.5s").unwrap();
        assert_eq!((args.watch, args.reload_grace), (true, Duration::from_millis(1_500)));
        assert!(!watched("smbench run s.lua").unwrap().watch);
        assert!(watched("smbench watch day.jsonl --clients 3").unwrap().watch);
    }

    #[test]
    fn a_run_that_cannot_reload_is_refused_with_what_to_write() {
        for (line, expected) in [
            (
                "smbench watch @scripts/office",
                "error: smbench watch reloads files, and @scripts/office is in the binary: write it to a file with 'smbench scripts show office >office.lua', and watch that",
            ),
            (
                "smbench run @scripts/office --watch",
                "error: --watch reloads files, and @scripts/office is in the binary: write it to a file with 'smbench scripts show office >office.lua', and watch that",
            ),
            (
                "smbench run s.lua --watch --prepare --iterations 3",
                "error: --prepare reads the whole stream before the run, and --watch replaces the stream during the run: leave out one of the two",
            ),
            (
                "smbench run s.lua --reload-grace 3s",
                "error: --reload-grace is for runs that reload: add --watch",
            ),
        ] {
            assert_eq!(watched(line).unwrap_err(), expected, "{line}");
        }
    }
}
