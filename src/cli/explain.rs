//! The explanation of a run: each value, and the place it comes from.

use serde::Serialize;

use super::args::StreamArgs;
use super::style::{BOLD, DIM, Style};
use crate::observability::columns::{self, left_aligned};
use crate::observability::text::printable;
use crate::run::{Given, ListedTarget, Settings, ValueOrigin};
use crate::script::{ExplainedParameter, GivenParameter};

pub const SCHEMA: &str = "smbench.explanation/1";

const MAX_CHARS: usize = 1_000;
/// Maximum number of columns of a value before its origin; a longer one has a line of its own.
const MAX_VALUE_WIDTH: usize = 44;
const GAP: usize = 2;

/// The explanation that `smbench run --explain --json` prints. This lists every key of this version;
/// a reader should ignore others, which later versions add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "smbench explanation, version 1"))]
pub struct Explanation {
    /// Name and version of this format.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    pub schema: &'static str,
    /// The flags of the command in the order of its help, each with its value.
    pub flags: Vec<ExplainedValue>,
    /// The parameters of the script by name, each with its value.
    pub parameters: Vec<ExplainedValue>,
}

/// A value and its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExplainedValue {
    /// Name of the flag or parameter. A flag that is given several times has an entry for each value.
    pub name: String,
    /// Value as it was written.
    pub value: String,
    /// `default`, `flag`, `variable NAME`, `profile NAME (file:line)`, or the `file:line` of a
    /// parameter file. If the target has a name in `smbench.toml`, `, target NAME (file:line)`
    /// follows. For the password: `flag`, `variable NAME`, or how it is asked for.
    pub origin: String,
}

impl Explanation {
    /// Explains the values of a run. `password_from` says where its password comes from, if the
    /// target needs one.
    pub fn new(
        stream: &StreamArgs,
        settings: &Settings,
        password_from: Option<String>,
        parameters: &[ExplainedParameter],
    ) -> Explanation {
        let mut flags = Vec::new();
        for flag in stream.origins.iter() {
            let value = |value: String, origin: String| ExplainedValue {
                name: flag.flag.clone(),
                value,
                origin,
            };
            match &*flag.flag {
                "--target" => {
                    let origin = match &settings.named {
                        Some(ListedTarget { name, place, .. }) => {
                            format!("{}, target {name} ({place})", settings.target.origin)
                        }
                        None => settings.target.origin.to_string(),
                    };
                    flags.push(value(settings.target.value.to_string(), origin));
                    let of_password = password_from.clone().map(|origin| ExplainedValue {
                        name: "password".into(),
                        value: "not shown".into(),
                        origin,
                    });
                    flags.extend(of_password);
                }
                "--duration" => flags.push(match &settings.duration {
                    Some(Given { value: duration, origin }) => {
                        let shown = humantime::format_duration(*duration);
                        value(shown.to_string(), origin.to_string())
                    }
                    None => value("that of the phases".into(), flag.origin.to_string()),
                }),
                "--threshold" if !settings.thresholds.is_empty() => {
                    let thresholds = settings.thresholds.iter();
                    flags.extend(
                        thresholds.map(|it| value(it.value.clone(), it.origin.to_string())),
                    );
                }
                // Each parameter is in the other list.
                "--param" => {}
                _ => {
                    let origin = flag.origin.to_string();
                    flags.extend(flag.values.iter().map(|it| value(it.clone(), origin.clone())));
                }
            }
        }
        let typed = stream.origins.origin("params").cloned().unwrap_or(ValueOrigin::Flag);
        let parameters = parameters.iter().map(|ExplainedParameter { parameter, given }| {
            let (value, origin) = match given {
                None => (parameter.default.clone(), ValueOrigin::Default),
                Some(given) => (given.value.clone(), origin(given, &typed)),
            };
            ExplainedValue { name: parameter.name.clone(), value, origin: origin.to_string() }
        });
        Explanation { schema: SCHEMA, flags, parameters: parameters.collect() }
    }
}

fn origin(given: &GivenParameter, typed: &ValueOrigin) -> ValueOrigin {
    match (&given.place, &given.profile) {
        (Some(place), Some(name)) => {
            ValueOrigin::Profile { name: name.clone(), place: place.clone() }
        }
        (Some(place), None) => ValueOrigin::ParameterFile(place.clone()),
        (None, _) => typed.clone(),
    }
}

/// Returns the explanation for people, of `smbench run` or `smbench watch`. `input` is the name of
/// the script or document.
pub fn render_explanation(
    explanation: &Explanation,
    command: &str,
    input: &str,
    style: Style,
) -> String {
    let Explanation { flags, parameters, .. } = explanation;
    let all = || flags.iter().chain(parameters);
    let width = |text: &str| columns::width(&printable(text, MAX_CHARS));
    let names = all().map(|it| width(&it.name)).max().unwrap_or(0);
    let values = all().map(|it| width(&it.value));
    let values = values.filter(|width| *width <= MAX_VALUE_WIDTH).max().unwrap_or(0);
    let input = printable(input, MAX_CHARS);
    let mut text = style.paint(BOLD, format!("Flags of smbench {command} {input}:")) + "\n";
    let mut before = "";
    for flag in flags {
        let name = if flag.name == before { "" } else { &flag.name };
        text += &line(name, flag, names, values, style);
        before = &flag.name;
    }
    if !parameters.is_empty() {
        text += &format!("\n{}\n", style.paint(BOLD, format!("Parameters of {input}:")));
        parameters.iter().for_each(|it| text += &line(&it.name, it, names, values, style));
    }
    text
}

fn line(
    name: &str,
    explained: &ExplainedValue,
    names: usize,
    values: usize,
    style: Style,
) -> String {
    // An empty string is a value too.
    let value = if explained.value.is_empty() { "\"\"" } else { &explained.value };
    let name = left_aligned(&printable(name, MAX_CHARS), names);
    let value = left_aligned(&printable(value, MAX_CHARS), values);
    let origin = origin_of(explained, style);
    format!("{:GAP$}{name}{:GAP$}{value}{:GAP$}{origin}\n", "", "", "")
}

fn origin_of(explained: &ExplainedValue, style: Style) -> String {
    let origin = printable(&explained.origin, MAX_CHARS);
    match origin == ValueOrigin::Default.to_string() {
        true => style.paint(DIM, origin),
        false => origin,
    }
}

#[cfg(test)]
mod tests {
    use smbench_test_support::Format;

    use super::*;
    use crate::observability::schema;

    fn explanation() -> Explanation {
        let value = |name: &str, value: &str, origin: &str| ExplainedValue {
            name: name.into(),
            value: value.into(),
            origin: origin.into(),
        };
        Explanation {
            schema: SCHEMA,
            flags: vec![
                value("--target", "smb://ada@nas/data", "profile nightly (smbench.toml:4)"),
                value("--threshold", "a < 1", "flag"),
                value("--threshold", "b < 2", "flag"),
                value("--limit", "none", "default"),
            ],
            parameters: vec![
                value("note", "\x1b[2J", "variable SMBENCH_PARAM"),
                value("mark", "", "default"),
            ],
        }
    }

    #[test]
    fn each_value_has_a_line_with_its_origin() {
        let text = render_explanation(&explanation(), "run", "s.lua", Style::plain(80));
        let expected = "\
Flags of smbench run s.lua:
  --target     smb://ada@nas/data  profile nightly (smbench.toml:4)
  --threshold  a < 1               flag
               b < 2               flag
  --limit      none                default

Parameters of s.lua:
  note         \\u{1b}[2J           variable SMBENCH_PARAM
  mark         \"\"                  default
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_schema_of_explanations_is_that_of_the_types_and_refuses_what_is_none() {
        let schema = schema::checked_in::<Explanation>("explanation");
        let value = serde_json::to_value(explanation()).unwrap();
        Format::Explanation.check(&value);
        assert_eq!(schema::unused_keys(&schema, std::slice::from_ref(&value)), [""; 0]);
        for (at, spoiled) in schema::spoiled(&value) {
            assert!(!Format::Explanation.errors(&spoiled).is_empty(), "{at}: {spoiled}");
        }
    }
}
