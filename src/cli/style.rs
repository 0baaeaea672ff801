//! How wide and how colourful a terminal is.

use std::fmt::Display;

use anstyle::{AnsiColor, Effects, Style as Ansi};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// Columns.
    pub width: usize,
}

/// Where the width is unknown, such as in a pipe.
const DEFAULT_WIDTH: usize = 100;
/// Narrower is not laid out for.
const LEAST_WIDTH: usize = 60;

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
        let width = terminal_size::terminal_size_of(&stdout)
            .map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0));
        Style { color, width: width.max(LEAST_WIDTH) }
    }

    pub(super) fn paint(self, ansi: Ansi, text: impl Display) -> String {
        if self.color { format!("{ansi}{text}{ansi:#}") } else { text.to_string() }
    }
}
