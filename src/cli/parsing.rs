//! The parsing of a command line, and the checks of its arguments that clap's rules cannot express.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use super::command::{Cli, Command, definitions, in_short};
use super::flag_origins::FlagOrigins;
use super::input_path::InputPath;
use super::usage_errors::explained;
use crate::script::ClientsOverride;

impl Cli {
    /// Parses and checks a command line, the program's name first.
    ///
    /// `-h` and `--help` of a command that takes a script are not an error. They set
    /// `StreamArgs::short_help` and `StreamArgs::help`, because the script's own help is added
    /// to that of the command.
    ///
    /// # Errors
    /// The error holds what to print and the exit code ([`clap::Error::exit`]): 2 for usage errors,
    /// 0 for any other help and for the version.
    pub fn parse_from_args(
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Cli, clap::Error> {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let mut program = match args.iter().any(|arg| arg == "-h") {
            true => in_short(definitions()),
            false => definitions(),
        };
        let matches =
            program.try_get_matches_from_mut(&args).map_err(|error| explained(error, &args))?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut program))?;
        if let (Some((name, matches)), Some(stream)) =
            (matches.subcommand(), cli.command.stream_mut())
            && let Some(definition) = program.find_subcommand(name)
        {
            stream.origins = FlagOrigins::of(definition, matches);
        }
        if let Command::Watch(args) = &mut cli.command {
            args.run.watch = true;
        }
        if let (false, Some((_, matches))) = (cli.command.wants_help(), matches.subcommand()) {
            cli.command.check(&|flag| given(matches, flag)).map_err(|message| {
                cli.command.definition(definitions()).error(ErrorKind::ArgumentConflict, message)
            })?;
        }
        Ok(cli)
    }
}

/// Returns whether a flag was typed. A flag that a variable sets for all runs conflicts with no
/// other.
fn given(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(flag) == Some(ValueSource::CommandLine)
}

impl Command {
    /// Checks for conflicts between values.
    fn check(&self, given: &dyn Fn(&str) -> bool) -> Result<(), String> {
        if let Some(InputPath::Document(path)) =
            self.stream().and_then(|(_, stream)| stream.input.as_ref())
        {
            let path = path.display();
            for (flag, id) in [("-p", "params"), ("--param-file", "param_files")] {
                if given(id) {
                    return Err(format!(
                        "{flag} is for scripts, and {path} is a document: compile its script anew with {flag}"
                    ));
                }
            }
            let clients = self.stream().map_or(&[][..], |(_, stream)| &stream.clients);
            match (clients, self) {
                _ if !given("clients") => {}
                (_, Command::Validate(_)) => {
                    return Err(format!(
                        "--clients makes no difference to the check of {path}: give it to run or compile"
                    ));
                }
                ([ClientsOverride { workload: None, .. }], _) => {}
                _ => {
                    return Err(format!(
                        "--clients is one number for {path}, which is a document: all of its clients are cloned together"
                    ));
                }
            }
        }
        match self {
            Command::Run(args) => args.check("--watch", given),
            Command::Watch(args) => args.run.check("smbench watch", given),
            Command::Compile(args) => args.check(),
            Command::Validate(_)
            | Command::New(_)
            | Command::Definitions(_)
            | Command::Test(_)
            | Command::Lib(_)
            | Command::Targets(_)
            | Command::Scan(_)
            | Command::Serve(_)
            | Command::Scripts(_)
            | Command::Completions(_)
            | Command::Man(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::args::LogFormat;
    use super::super::command::WITHOUT_VARIABLES;
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::parse_from_args(line.split_whitespace())
    }

    /// Returns the first line of the error, which must exit with 2.
    fn refused(line: &str) -> String {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string().lines().next().unwrap_or_default().to_string()
    }

    #[test]
    fn the_definitions_are_sound() {
        definitions().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_name() {
        let definitions = definitions();
        let nested = definitions.get_subcommands().flat_map(clap::Command::get_subcommands);
        let all = definitions.get_subcommands().chain(nested);
        for command in all.filter(|command| command.get_name() != WITHOUT_VARIABLES) {
            for arg in command.get_arguments().chain(definitions.get_arguments()) {
                let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long))
                else {
                    continue;
                };
                let expected = format!("SMBENCH_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(
                    arg.get_env(),
                    Some(expected.as_ref()),
                    "{} --{long}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn mistakes_exit_with_2_and_name_the_flag() {
        for (line, name) in [
            ("smbench run a.lua --bogus", "--bogus"),
            ("smbench frobnicate", "frobnicate"),
            ("smbench run", "SCRIPT|DOCUMENT"),
            ("smbench run a.lua --duration 5", "--duration"),
            ("smbench run a.lua --op-timeout 0", "--op-timeout"),
            ("smbench run a.lua --limit 0", "--limit"),
            ("smbench run a.lua --clients 0", "--clients"),
            ("smbench run a.lua --clients x=many", "--clients"),
            ("smbench run a.lua -p users", "-p"),
            ("smbench run a.lua --script-memory lots", "--script-memory"),
            ("smbench run a.lua --log-format xml", "--log-format"),
            ("smbench run a.txt", "a.txt"),
            ("smbench run a.jsonl -p users=3", "-p"),
            ("smbench run a.jsonl --param-file p.json", "--param-file"),
            ("smbench run a.lua --reload-grace 5", "--reload-grace"),
            ("smbench watch", "SCRIPT|DOCUMENT"),
            ("smbench watch a.lua --limit 0", "--limit"),
            ("smbench run a.jsonl --clients w=3", "--clients"),
            ("smbench validate a.jsonl --clients 3", "--clients"),
            ("smbench targets probe", "TARGET"),
            ("smbench targets probe sim --op-timeout 5", "--op-timeout"),
            ("smbench targets probe sim --timeout 0", "--timeout"),
            ("smbench targets probe sim --jobs 0", "--jobs"),
            ("smbench targets probe sim --jobs 65", "--jobs"),
            ("smbench serve --listen 4455", "--listen"),
            ("smbench serve --listen localhost:x", "--listen"),
            ("smbench serve --password hunter2", "--password"),
            ("smbench compile a.lua", "--output"),
            ("smbench lib add office", "--repo <URL>|--path <DIR>"),
            ("smbench lib add office --repo u --path p", "--path"),
            ("smbench lib add office --repo u --version ^1 --rev main", "--rev"),
            ("smbench lib add office --path p --rev main", "--rev"),
            ("smbench lib add office --repo u --version new", "--version"),
            ("smbench lib remove", "NAME"),
            ("smbench test --junit mail_test.lua", "--junit"),
            ("smbench test --junit - mail_test.lua", "--junit"),
            ("smbench compile a.lua -o x.txt", "--output"),
            ("smbench compile a.jsonl -o a.jsonl --force", "--output"),
        ] {
            let message = refused(line);
            let whole = parse(line).expect_err(line).to_string();
            assert!(whole.contains(name), "{line}: {message}");
            assert!(message.starts_with("error: "), "{line}: {message}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_says_how_to_write_one() {
        let message = refused("smbench run a.lua --duration 5");
        assert!(message.contains("250ms"), "{message}");
    }

    #[test]
    fn help_of_a_command_is_left_to_it_so_that_a_script_can_add_its_own() {
        let Command::Run(args) = parse("smbench run s.lua --help").unwrap().command else {
            panic!("not run");
        };
        assert!(args.stream.help && !args.stream.short_help);
        assert_eq!(args.stream.input, Some(InputPath::Script(Path::new("s.lua").into())));

        let cli = parse("smbench run -h").unwrap();
        assert_eq!(cli.command.stream().unwrap().1.input, None);
        let help = cli.command.help().to_string();
        assert!(help.contains("Usage: smbench run"), "{help}");
        assert!(help.contains("--op-timeout"), "{help}");
        assert!(!help.contains("SMBENCH_OP_TIMEOUT"), "{help}");
        let whole = parse("smbench run --help").unwrap().command.help().to_string();
        assert!(whole.contains("SMBENCH_OP_TIMEOUT") && whole.contains("--shards"), "{whole}");

        let help = parse("smbench --help").unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    }

    /// Columns of a terminal of the usual size.
    const COLUMNS: usize = 80;

    #[test]
    fn short_help_has_a_line_for_each_flag_and_long_help_every_flag() {
        for line in ["run", "watch", "compile", "validate"] {
            let command = parse(&format!("smbench {line} -h")).unwrap().command;
            let definition = command.definition(in_short(definitions()));
            let help = definition.term_width(COLUMNS).render_help().to_string();
            let wrapped = help.lines().find(|line| line.starts_with(&" ".repeat(20)));
            assert_eq!(wrapped, None, "{help}");
            assert!(help.lines().count() <= 50, "{} lines\n{help}", help.lines().count());
        }
        let probe = parse("smbench targets probe -h").unwrap_err().to_string();
        assert!(probe.contains("--jobs <N>") && !probe.contains("SMBENCH_JOBS"), "{probe}");
        let probe = parse("smbench targets probe --help").unwrap_err().to_string();
        assert!(probe.contains("SMBENCH_JOBS") && probe.contains("Exit codes"), "{probe}");
    }

    #[test]
    fn flags_of_the_program_may_come_after_the_command() {
        let cli = parse("smbench run a.lua -vv --log-format json").unwrap();
        assert_eq!((cli.logging.verbose, cli.logging.log_format), (2, LogFormat::Json));
    }
}
