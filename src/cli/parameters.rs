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

/// Returns the section on a script's parameters, which follows the flags in its help.
pub fn render_parameters(script: &str, parameters: &[ParameterHelp], style: Style) -> String {
    let script = printable(script, MAX_NAME_CHARS * 2);
    if parameters.is_empty() {
        return format!("{script} has no parameters.\n");
    }
    let heads: Vec<String> = parameters
        .iter()
        .map(|parameter| {
            let name = printable(&parameter.name, MAX_NAME_CHARS);
            format!("{name} <{}>", parameter.kind)
        })
        .collect();
    let head_width = heads.iter().map(|head| columns::width(head)).max().unwrap_or(0);
    let margin = INDENT + head_width + GAP;
    let help_width = style.width.saturating_sub(margin).max(LEAST_HELP_WIDTH);

    let title = format!("Parameters of {script} (-p name=value):");
    let mut text = style.paint(BOLD, title) + "\n";
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
    fn a_script_without_parameters_says_so_and_hostile_ones_are_escaped() {
        let style = Style::plain(80);
        assert_eq!(render_parameters("a.lua", &[], style), "a.lua has no parameters.\n");
        let evil = parameter("a\x1b[2J", "int", Some("\x07"), "x\u{202e}y\nz");
        let text = render_parameters("\x1b.lua", &[evil], style);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
}
