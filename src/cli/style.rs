//! How wide and how colourful a terminal is.

use std::fmt::Display;

use anstyle::{AnsiColor, Effects, Style as Ansi};

use crate::observability::columns::wrapped;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// The columns that a table may take.
    pub width: usize,
    /// The columns that lines of prose are broken to fit, on a terminal.
    pub prose: Option<usize>,
}

/// Where the width is unknown, such as in a pipe.
const DEFAULT_WIDTH: usize = 100;
/// A table is not laid out for less, nor is prose.
const LEAST_WIDTH: usize = 60;
const LEAST_PROSE_WIDTH: usize = 20;

pub(super) const BOLD: Ansi = Ansi::new().effects(Effects::BOLD);
pub(super) const DIM: Ansi = Ansi::new().effects(Effects::DIMMED);
pub(super) const GOOD: Ansi = AnsiColor::Green.on_default();
pub(super) const BAD: Ansi = AnsiColor::Red.on_default().effects(Effects::BOLD);
pub(super) const WARNING: Ansi = AnsiColor::Yellow.on_default();

impl Style {
    /// For standard output. `NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb` and pipes
    /// are respected.
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

    /// Returns the style of a pipe, with tables that take at most `width` columns.
    pub const fn plain(width: usize) -> Style {
        Style { color: false, width, prose: None }
    }

    /// Breaks lines between words where they are for a terminal.
    pub(super) fn prose(self, text: impl Into<String>) -> String {
        let text = text.into();
        self.prose.map(|columns| wrapped(&text, columns)).unwrap_or(text)
    }

    pub(super) fn paint(self, ansi: Ansi, text: impl Display) -> String {
        if self.color { format!("{ansi}{text}{ansi:#}") } else { text.to_string() }
    }
}
