//! The places that the values of flags come from.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use crate::run::{Given, ValueOrigin};

/// The values of the flags of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagOrigins(Vec<FlagValue>);

/// A flag, its value and the place that the value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagValue {
    /// The name that clap knows it by.
    id: String,
    /// The flag as it is typed, such as `--seed`.
    pub flag: String,
    /// The values as they were typed, or the default as the help states it.
    pub values: Vec<String>,
    pub origin: ValueOrigin,
}

/// The end of a flag's help that states its default, where the parser has none.
const STATED_DEFAULT: &str = "[default: ";

impl FlagOrigins {
    /// Finds out where the values of a command's flags come from.
    pub fn of(definition: &clap::Command, matches: &ArgMatches) -> FlagOrigins {
        let flags = definition.get_arguments().filter(|arg| {
            let is_help = ["help", "short_help"].contains(&arg.get_id().as_str());
            arg.get_long().is_some() && !is_help && !arg.is_hide_set()
        });
        FlagOrigins(flags.map(|arg| FlagValue::of(arg, matches)).collect())
    }

    /// Returns all flags in the order of the help.
    pub fn iter(&self) -> impl Iterator<Item = &FlagValue> {
        self.0.iter()
    }

    /// Returns the value of a flag with its origin; None if it is the default. `id` is the name that
    /// clap knows the flag by.
    pub fn given<T>(&self, id: &str, value: T) -> Option<Given<T>> {
        let origin = self.origin(id)?.clone();
        (origin != ValueOrigin::Default).then_some(Given { value, origin })
    }

    /// Returns the origin of a flag's value; None if the command has no such flag.
    pub fn origin(&self, id: &str) -> Option<&ValueOrigin> {
        self.0.iter().find(|flag| flag.id == id).map(|flag| &flag.origin)
    }
}

impl FlagValue {
    fn of(arg: &Arg, matches: &ArgMatches) -> FlagValue {
        let id = arg.get_id().as_str();
        let origin = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => ValueOrigin::Flag,
            Some(ValueSource::EnvVariable) => {
                let variable = arg.get_env().unwrap_or_default().to_string_lossy();
                ValueOrigin::Variable(variable.into_owned())
            }
            _ => ValueOrigin::Default,
        };
        let raw = matches.get_raw(id).into_iter().flatten();
        let values: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
        let values = match (arg.get_action(), values.is_empty()) {
            (ArgAction::SetTrue, _) => match matches.get_flag(id) {
                true => vec!["on".into()],
                false => vec!["off".into()],
            },
            (_, false) => values,
            (_, true) => vec![stated_default(arg).unwrap_or_else(|| "none".into())],
        };
        let flag = format!("--{}", arg.get_long().unwrap_or_default());
        FlagValue { id: id.into(), flag, values, origin }
    }
}

/// Returns the default that the help of a flag states in words.
fn stated_default(arg: &Arg) -> Option<String> {
    let help = arg.get_long_help().or(arg.get_help())?.to_string();
    let (_, stated) = help.rsplit_once(STATED_DEFAULT)?;
    Some(stated.split(']').next()?.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::super::command::{Cli, Command};
    use super::*;

    #[test]
    fn each_flag_says_its_value_and_where_it_comes_from() {
        let line = "smbench run s.lua --duration 5s --threshold a --threshold b --precise";
        let cli = Cli::parse_from_args(line.split_whitespace()).unwrap();
        let Command::Run(args) = cli.command else { panic!("not run") };
        let origins = &args.stream.origins;
        let value = |flag: &str| {
            let flag = origins.iter().find(|it| it.flag == flag).unwrap();
            (flag.values.join(", "), flag.origin.to_string())
        };
        let pair = |value: &str, origin: &str| (value.to_string(), origin.to_string());
        assert_eq!(value("--duration"), pair("5s", "flag"));
        assert_eq!(value("--threshold"), pair("a, b", "flag"));
        assert_eq!(value("--precise"), pair("on", "flag"));
        assert_eq!(value("--degrade"), pair("off", "default"));
        assert_eq!(value("--target"), pair("embedded", "default"));
        assert_eq!(value("--seed"), pair("0, or the document's", "default"));
        assert_eq!(value("--limit"), pair("one per client", "default"));
        assert_eq!(value("--operations"), pair("none", "default"));
        assert_eq!(
            origins.given("duration", 5),
            Some(Given { value: 5, origin: ValueOrigin::Flag })
        );
        assert_eq!(origins.given("target", 5), None);
        assert!(origins.iter().all(|it| it.flag != "--help"));
    }
}
