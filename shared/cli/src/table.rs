//! Rows and columns: aligned for people, separated by tabs for programs.
//!
//! Promise: a cell stays on its line and in its column, whatever text it holds.

use crate::output::plain;
use crate::style::dim;
use console::{Alignment, measure_text_width, pad_str};

/// See the module.
#[derive(Debug, Default)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One cell: for people perhaps in colour, for programs exact.
#[derive(Debug, Clone)]
pub struct Cell {
    people: String,
    programs: String,
}

impl Cell {
    /// Two readers, two forms. The first may be coloured, so its text must be harmless already.
    pub fn both(people: String, programs: impl AsRef<str>) -> Self {
        Self {
            people,
            programs: plain(programs.as_ref()),
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = plain(text.as_ref());
        Self {
            people: text.clone(),
            programs: text,
        }
    }
}

impl Table {
    /// With these columns.
    pub fn with(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Names and values, without a header.
    pub fn facts() -> Self {
        Self::default()
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// One more name and value.
    pub fn fact(&mut self, name: &str, value: impl Into<Cell>) {
        self.row([Cell::both(dim(name), name), value.into()]);
    }

    /// A name and value if there is a value.
    pub fn fact_if(&mut self, name: &str, value: Option<impl Into<Cell>>) {
        if let Some(value) = value {
            self.fact(name, value);
        }
    }

    /// As lines.
    pub fn lines(&self, people: bool) -> Vec<String> {
        if !people {
            let header = (!self.header.is_empty()).then(|| self.header.join("\t"));
            let rows = self.rows.iter().map(|row| {
                let cells: Vec<_> = row.iter().map(|cell| cell.programs.as_str()).collect();
                cells.join("\t")
            });
            return header.into_iter().chain(rows).collect();
        }
        let widths = self.widths();
        let header = (!self.header.is_empty()).then(|| {
            let cells: Vec<_> = self.header.iter().map(dim).collect();
            aligned(cells.iter().map(String::as_str), &widths)
        });
        let rows = self
            .rows
            .iter()
            .map(|row| aligned(row.iter().map(|cell| cell.people.as_str()), &widths));
        header.into_iter().chain(rows).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        (0..columns.max(self.header.len()))
            .map(|column| {
                let header = self.header.get(column).map_or(0, |name| name.len());
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| measure_text_width(&cell.people))
                    .chain([header])
                    .max()
                    .unwrap_or_default()
            })
            .collect()
    }
}

fn aligned<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let padded: Vec<_> = cells
        .zip(widths)
        .map(|(cell, width)| pad_str(cell, *width, Alignment::Left, None).into_owned())
        .collect();
    padded.join("  ").trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::with(&["NAME", "STATUS"]);
        table.row([
            "web1".into(),
            Cell::both("\u{1b}[32mok\u{1b}[0m".into(), "ok"),
        ]);
        table.row(["a\tb\nc\u{1b}[31m".into(), "x".into()]);
        table
    }

    #[test]
    fn programs_get_one_line_a_row_and_one_tab_between_cells() {
        assert_eq!(
            table().lines(false),
            ["NAME\tSTATUS", "web1\tok", "a b c\u{fffd}[31m\tx"]
        );
    }

    #[test]
    fn people_get_columns_that_colour_does_not_shift() {
        let lines = table().lines(true);
        let at = |line: &str, what: &str| {
            let before = &line[..line.find(what).expect("it is there")];
            measure_text_width(before)
        };
        assert_eq!(at(&lines[1], "ok"), at(&lines[2], "x"));
    }
}
