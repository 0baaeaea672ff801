//! The width and the colors of output.

use std::fmt::Display;

use anstyle::{AnsiColor, Effects, Style as Ansi};

use crate::observability::columns::wrapped;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// Maximum width of a table, in columns.
    pub width: usize,
    /// Width to which lines of prose are broken, in columns; None if the output is not a terminal.
    pub prose: Option<usize>,
}

/// Width if it is unknown, such as in a pipe, in columns.
const DEFAULT_WIDTH: usize = 100;
/// Minimum width of the layout of a table, and of prose, in columns.
const LEAST_WIDTH: usize = 60;
const LEAST_PROSE_WIDTH: usize = 20;

pub(super) const BOLD: Ansi = Ansi::new().effects(Effects::BOLD);
pub(super) const DIM: Ansi = Ansi::new().effects(Effects::DIMMED);
pub(super) const GOOD: Ansi = AnsiColor::Green.on_default();
pub(super) const BAD: Ansi = AnsiColor::Red.on_default().effects(Effects::BOLD);
pub(super) const WARNING: Ansi = AnsiColor::Yellow.on_default();

impl Style {
    /// Returns the style for standard output, by its terminal and by `NO_COLOR`, `CLICOLOR_FORCE`
    /// and `TERM=dumb`.
    pub fn of_stdout() -> Style {
        let stdout = std::io::stdout();
        let color = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        let columns =
            terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        Style {
            color,
            width: columns.unwrap_or(DEFAULT_WIDTH).max(LEAST_WIDTH),
            prose: columns.map(|columns| columns.max(LEAST_PROSE_WIDTH)),
        }
    }

    #[cfg(test)]
    /// Returns the style of a pipe, with tables of at most `width` columns.
    pub const fn plain(width: usize) -> Style {
        Style { color: false, width, prose: None }
    }

    /// Breaks lines between words if the output is a terminal.
    pub(super) fn prose(self, text: impl Into<String>) -> String {
        let text = text.into();
        self.prose.map(|columns| wrapped(&text, columns)).unwrap_or(text)
    }

    pub(super) fn paint(self, ansi: Ansi, text: impl Display) -> String {
        if self.color { format!("{ansi}{text}{ansi:#}") } else { text.to_string() }
    }
}
