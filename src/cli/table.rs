//! Tables of figures that fit the width of a terminal.

use super::style::{BOLD, Style};
use crate::observability::columns::{self, left_aligned, right_aligned};

/// A column of a table: right-aligned figures under a name.
#[derive(Debug)]
pub(super) struct Column {
    pub name: &'static str,
    /// Order in which columns are dropped while the table is too wide: higher numbers first, 0
    /// never.
    pub droppable: u8,
    pub cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(String::as_str);
        cells.chain([self.name]).map(columns::width).max().unwrap_or(0)
    }
}

const GAP: usize = 2;

/// Returns a table of one line for each row, with the first column left-aligned. Drops columns
/// until the table fits.
pub(super) fn render(mut columns: Vec<Column>, style: Style) -> String {
    while columns.iter().map(|column| column.width() + GAP).sum::<usize>() > style.width + GAP {
        let widest = columns.iter().enumerate().max_by_key(|(_, column)| column.droppable);
        match widest {
            Some((at, column)) if column.droppable > 0 => drop(columns.remove(at)),
            _ => break,
        }
    }
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    let names = line(&columns, |column| column.name);
    let mut table = style.paint(BOLD, names) + "\n";
    for row in 0..rows {
        let cells = line(&columns, |column| column.cells.get(row).map_or("", String::as_str));
        table += &cells;
        table.push('\n');
    }
    table
}

fn line<'a>(columns: &'a [Column], cell: impl Fn(&'a Column) -> &'a str) -> String {
    let mut line = String::new();
    for (at, column) in columns.iter().enumerate() {
        let width = column.width();
        if at == 0 {
            line += &left_aligned(cell(column), width);
        } else {
            line += &format!("{:GAP$}{}", "", right_aligned(cell(column), width));
        }
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let column = |name, droppable, cells: [&str; 2]| Column {
            name,
            droppable,
            cells: cells.map(String::from).to_vec(),
        };
        vec![
            column("operation", 0, ["read", "flush"]),
            column("count", 0, ["1,234", "7"]),
            column("p50", 2, ["0.5", ""]),
            column("p99", 1, ["12.75", "0.1"]),
        ]
    }

    #[test]
    fn figures_are_aligned_and_columns_dropped_until_the_table_fits() {
        let at = |width| render(columns(), Style::plain(width));
        let wide = "\
operation  count  p50    p99
read       1,234  0.5  12.75
flush          7         0.1
";
        let narrow = "\
operation  count    p99
read       1,234  12.75
flush          7    0.1
";
        assert_eq!(at(28), wide);
        assert_eq!(at(27), narrow);
        assert_eq!(at(1).lines().next(), Some("operation  count"));
    }

    #[test]
    fn wide_and_combining_characters_take_the_columns_of_a_terminal() {
        let mut columns = columns();
        columns[0].cells = vec!["日本語".into(), "e\u{301}te\u{301}".into()];
        let table = "\
operation  count  p50    p99
日本語     1,234  0.5  12.75
e\u{301}te\u{301}            7         0.1
";
        assert_eq!(render(columns, Style::plain(80)), table);
    }
}
