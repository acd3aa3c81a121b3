//! Tables without lines around them.

use comfy_table::{CellAlignment, Table, presets};

/// Columns of numbers, which stand on the right.
const NUMBERS: [&str; 12] = [
    "TERM",
    "COMMIT",
    "APPLIED",
    "LAG",
    "SNAPSHOT",
    "RTT",
    "INDEX",
    "ATTEMPTS",
    "COUNT",
    "P50 \u{b5}s",
    "P99 \u{b5}s",
    "MAX \u{b5}s",
];

/// Header and rows, without a line end behind the last one.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for (position, name) in header.iter().enumerate() {
        if NUMBERS.contains(name)
            && let Some(column) = table.column_mut(position)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The same with a line end behind the last row.
pub(super) fn lines<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    table(header, rows) + "\n"
}
