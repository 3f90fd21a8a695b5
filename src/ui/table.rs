//! Aligns columns of text.

use unicode_width::UnicodeWidthStr;

use super::std_streams::harmless;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table with a header.
pub(crate) struct TextTable {
    columns: Vec<(Align, Vec<String>)>,
}

impl TextTable {
    /// A table with these headers.
    pub(crate) fn new<const N: usize>(headers: [(&str, Align); N]) -> Self {
        Self { columns: headers.into_iter().map(|(text, align)| (align, vec![text.to_owned()])).collect() }
    }

    /// Adds a row; cells beyond the headers are left out.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        for ((_, column), cell) in self.columns.iter_mut().zip(cells) {
            column.push(harmless(&cell).into_owned());
        }
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.first().is_none_or(|(_, column)| column.len() <= 1)
    }

    /// The text: two blanks between columns, none at the ends of lines.
    pub(crate) fn render(&self) -> String {
        let height = self.columns.first().map_or(0, |(_, column)| column.len());
        let mut text = String::new();
        for index in 0..height {
            let mut line = String::new();
            for (align, column) in &self.columns {
                let width = column.iter().map(|cell| cell.width()).max().unwrap_or(0);
                let cell = column.get(index).map_or("", String::as_str);
                let gap = " ".repeat(width - cell.width());
                match align {
                    Align::Left => line.push_str(&format!("{cell}{gap}  ")),
                    Align::Right => line.push_str(&format!("{gap}{cell}  ")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = TextTable::new([("TABLE", Align::Left), ("ROWS", Align::Right), ("", Align::Left)]);
        assert!(table.is_empty());
        table.row(["a".to_owned(), "1,000".to_owned(), String::new()]);
        table.row(["customers".to_owned(), "5".to_owned(), "x\ny".to_owned()]);
        assert_eq!(table.render(), "TABLE       ROWS\na          1,000\ncustomers      5  x\\ny\n");
    }

    #[test]
    fn letters_of_two_columns_and_of_none_are_aligned() {
        let mut table = TextTable::new([("NAME", Align::Left), ("ROWS", Align::Right)]);
        for name in ["\u{9867}\u{5ba2}", "cafe\u{301}", "abcd"] {
            table.row([name.to_owned(), "1".to_owned()]);
        }
        let found = table.render();
        assert_eq!(found, "NAME  ROWS\n\u{9867}\u{5ba2}     1\ncafe\u{301}     1\nabcd     1\n");
    }
}
