//! The section on a script's parameters in its help.

use super::style::{BOLD, Style};
use crate::observability::columns::{self, left_aligned};
use crate::observability::text::printable;
use crate::script::ParameterHelp;

const MAX_NAME_CHARS: usize = 40;
const MAX_TEXT_CHARS: usize = 1_000;
const INDENT: usize = 2;
const GAP: usize = 2;
/// Minimum number of columns for the help of a parameter, however long the names are.
const LEAST_HELP_WIDTH: usize = 20;

/// Returns the sections on a script's parameters and on those of its libraries, which follow the
/// flags in its help.
pub fn render_parameters(script: &str, parameters: &[ParameterHelp], style: Style) -> String {
    let script = printable(script, MAX_NAME_CHARS * 2);
    let mut text = match parameters.iter().any(|parameter| parameter.library.is_none()) {
        true => String::new(),
        false => format!("{script} has no parameters.\n"),
    };
    for group in parameters.chunk_by(|one, next| library_of(one) == library_of(next)) {
        let title = match library_of(&group[0]) {
            None => format!("Parameters of {script} (-p name=value):"),
            Some((alias, library)) => {
                let alias = printable(alias, MAX_NAME_CHARS);
                let library = printable(library, MAX_NAME_CHARS * 2);
                format!("Parameters of {alias}, {library} (-p {alias}.name=value):")
            }
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text += &(style.paint(BOLD, title) + "\n");
        text += &render_group(group, style);
    }
    text
}

/// Returns the alias and the name of the library that declares the parameter.
fn library_of(parameter: &ParameterHelp) -> Option<(&str, &str)> {
    let library = parameter.library.as_deref()?;
    Some((parameter.name.rsplit_once('.').map_or("", |(alias, _)| alias), library))
}

/// Returns the lines on the parameters that one script or library declares, with their names there.
fn render_group(parameters: &[ParameterHelp], style: Style) -> String {
    let heads: Vec<String> = parameters
        .iter()
        .map(|parameter| {
            let own = match parameter.library {
                Some(_) => parameter.name.rsplit_once('.').map(|(_, name)| name),
                None => None,
            };
            let name = printable(own.unwrap_or(&parameter.name), MAX_NAME_CHARS);
            format!("{name} <{}>", parameter.kind)
        })
        .collect();
    let head_width = heads.iter().map(|head| columns::width(head)).max().unwrap_or(0);
    let margin = INDENT + head_width + GAP;
    let help_width = style.width.saturating_sub(margin).max(LEAST_HELP_WIDTH);

    let mut text = String::new();
    for (head, parameter) in heads.iter().zip(parameters) {
        let lines = wrapped(&describe(parameter), help_width);
        text += &format!("{:INDENT$}{}{:GAP$}", "", left_aligned(head, head_width), "");
        text += &lines.join(&format!("\n{:margin$}", ""));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn describe(parameter: &ParameterHelp) -> String {
    let mut text = parameter
        .help
        .as_deref()
        .map_or(String::new(), |help| printable(help, MAX_TEXT_CHARS) + " ");
    if let Some(bounds) = bounds(parameter) {
        text += &format!("[{}] ", printable(&bounds, MAX_TEXT_CHARS));
    }
    text + &format!("[default: {}]", printable(&parameter.default, MAX_TEXT_CHARS))
}

fn bounds(parameter: &ParameterHelp) -> Option<String> {
    if !parameter.choices.is_empty() {
        return Some(parameter.choices.join(", "));
    }
    match (&parameter.min, &parameter.max) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}")),
        (Some(min), None) => Some(format!("at least {min}")),
        (None, Some(max)) => Some(format!("at most {max}")),
        (None, None) => None,
    }
}

/// Breaks a string into lines between words. A word that is too long has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let fits = |line: &String| columns::width(line) + 1 + columns::width(word) <= width;
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if fits(line) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, kind: &'static str, min: Option<&str>, help: &str) -> ParameterHelp {
        ParameterHelp {
            name: name.into(),
            library: None,
            kind,
            default: "100".into(),
            min: min.map(String::from),
            max: None,
            choices: Vec::new(),
            help: Some(help.into()),
        }
    }

    #[test]
    fn parameters_are_aligned_and_their_help_is_wrapped() {
        let parameters = [
            parameter("users", "int", Some("1"), "simulated users"),
            parameter("think", "duration", None, "mean think time between two documents"),
            ParameterHelp { help: None, ..parameter("io", "size", None, "") },
        ];
        let text = render_parameters("office.lua", &parameters, Style::plain(60));
        assert_eq!(
            text,
            "\
Parameters of office.lua (-p name=value):
  users <int>       simulated users [at least 1] [default:
                    100]
  think <duration>  mean think time between two documents
                    [default: 100]
  io <size>         [default: 100]
"
        );
    }

    #[test]
    fn parameters_of_libraries_have_sections_of_their_own() {
        let of = |name: &str| ParameterHelp {
            library: Some("acme/office 1.2.0".into()),
            ..parameter(name, "size", None, "of a document")
        };
        let own = parameter("users", "int", None, "simulated users");
        let style = Style::plain(60);
        let of_library = "
Parameters of office, acme/office 1.2.0 (-p office.name=value):
  doc_size <size>  of a document [default: 100]
  io <size>        of a document [default: 100]
";
        let parameters = [own, of("office.doc_size"), of("office.io")];
        assert_eq!(
            render_parameters("s.lua", &parameters, style),
            format!(
                "Parameters of s.lua (-p name=value):
  users <int>  simulated users [default: 100]
{of_library}"
            )
        );
        assert_eq!(
            render_parameters("s.lua", &parameters[1..], style),
            format!("s.lua has no parameters.\n{of_library}")
        );
    }

    #[test]
    fn a_script_without_parameters_says_so_and_hostile_ones_are_escaped() {
        let style = Style::plain(80);
        assert_eq!(render_parameters("a.lua", &[], style), "a.lua has no parameters.\n");
        let evil = parameter("a\x1b[2J", "int", Some("\x07"), "x\u{202e}y\nz");
        let text = render_parameters("\x1b.lua", &[evil], style);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
}
