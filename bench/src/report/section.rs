//! One record as a section of the page, and as Markdown.

use std::fmt::Write as _;

use super::charts::{self, Colours};
use super::findings::{self, Finding};
use super::grid::{self, Cell, Grid, Group, Row, RowKind};
use super::plot::escape;
use crate::record::{Record, Table};

/// Whether a record is as its scenario expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    AsExpected,
    /// A peer failed: a finding.
    PeerFailed,
    /// Tickcast failed: a defect.
    Failed,
}

impl Verdict {
    pub(super) fn of(record: &Record) -> Self {
        let mut failed = record.runs.iter().filter(|run| !run.failures.is_empty()).peekable();
        if failed.peek().is_none() {
            Self::AsExpected
        } else if failed.any(|run| run.server.starts_with("tickcast")) {
            Self::Failed
        } else {
            Self::PeerFailed
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::AsExpected => "as expected",
            Self::PeerFailed => "a peer failed",
            Self::Failed => "tickcast failed",
        }
    }

    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::AsExpected => "good",
            Self::PeerFailed => "so-so",
            Self::Failed => "bad",
        }
    }
}

fn command(record: &Record) -> String {
    format!("cargo run --release -p bench -- run {}", record.scenario.name)
}

pub(super) fn html(record: &Record, colours: &Colours) -> String {
    let about = &record.scenario;
    let mut out = String::new();
    let (name, title, why) = (escape(&about.name), escape(&about.title), escape(&about.why));
    let _ = write!(out, "<section id=\"{name}\"><h2>{title}</h2><p class=\"why\">{why}</p>");
    let _ = write!(
        out,
        "<p class=\"how\"><code>{}</code> · commit <code>{}</code> · {}</p>",
        escape(&command(record)),
        escape(&record.commit),
        super::page::date(record.at_s)
    );
    findings_html(&mut out, "failures", "Not as expected", &findings::failures(record));
    findings_html(&mut out, "warnings", "To be read with care", &findings::warnings(record));
    for note in &record.notes {
        let _ = write!(out, "<p>{}</p>", escape(note));
    }
    // A kind that says how its figures are shown has shown them.
    let has_own = !record.tables.is_empty() && !grid::is_load(record);
    if let Some(grid) = grid::main(record) {
        grid_html(&mut out, &grid);
    }
    for table in &record.tables {
        table_html(&mut out, table);
    }
    if let Some(grid) = grid::further(record) {
        if has_own {
            out.push_str("<details><summary>All figures</summary>");
            grid_html(&mut out, &grid);
            out.push_str("</details>");
        } else {
            grid_html(&mut out, &grid);
        }
    }
    let plots = charts::plots(record, colours);
    if !plots.is_empty() {
        out.push_str("<div class=\"plots\">");
        for plot in plots {
            let _ = write!(out, "<figure>{}</figure>", plot.svg());
        }
        out.push_str("</div>");
    }
    let settings = serde_json::to_string_pretty(&about.settings).unwrap_or_default();
    let _ = writeln!(
        out,
        "<details><summary>Settings</summary><pre>{}</pre></details></section>",
        settings.lines().map(escape).collect::<Vec<_>>().join("\n")
    );
    out
}

fn findings_html(out: &mut String, class: &str, title: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = write!(out, "<div class=\"{class}\"><h3>{title}</h3><ul>");
    for finding in findings {
        let (whose, what) = (escape(&finding.whose()), escape(&finding.what));
        let _ = write!(out, "<li><b>{whose}</b>: {what}</li>");
    }
    out.push_str("</ul></div>");
}

fn grid_html(out: &mut String, grid: &Grid) {
    out.push_str("<div class=\"wide\"><table><thead><tr><th></th>");
    for column in &grid.columns {
        let _ = write!(out, "<th>{}</th>", escape(column));
    }
    out.push_str("</tr></thead>");
    for Group { variant, rows } in &grid.groups {
        out.push_str("<tbody>");
        if !variant.is_empty() {
            let span = grid.columns.len() + 1;
            let _ =
                write!(out, "<tr class=\"v\"><th colspan=\"{span}\">{}</th></tr>", escape(variant));
        }
        for row in rows {
            row_html(out, row);
        }
        out.push_str("</tbody>");
    }
    out.push_str("</table></div>");
}

fn row_html(out: &mut String, Row { name, kind, cells }: &Row) {
    let class = match kind {
        RowKind::Ours => "ours",
        RowKind::Peer => "peer",
        RowKind::Failed(..) => "failed",
        RowKind::Ratio => "ratio",
    };
    let _ = write!(out, "<tr class=\"{class}\"><th>{}", escape(name));
    if let RowKind::Failed(rounds, all) = kind {
        let _ = write!(out, "<small>failed in {rounds} of {all} rounds</small>");
    }
    out.push_str("</th>");
    for Cell { median, spread, is_bad } in cells {
        let class = if *is_bad { " class=\"bad\"" } else { "" };
        let _ = write!(out, "<td{class}>{}", escape(median));
        if !spread.is_empty() {
            let _ = write!(out, "<small>{}</small>", escape(spread));
        }
        out.push_str("</td>");
    }
    out.push_str("</tr>");
}

fn table_html(out: &mut String, Table { title, columns, rows }: &Table) {
    let _ = write!(out, "<h3>{}</h3><div class=\"wide\"><table><thead><tr>", escape(title));
    for column in columns {
        let _ = write!(out, "<th>{}</th>", escape(column));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            let _ = match index {
                0 => write!(out, "<th>{cell}</th>"),
                _ => write!(out, "<td>{cell}</td>"),
            };
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

pub(super) fn markdown(record: &Record) -> String {
    let about = &record.scenario;
    let mut out = format!("## {}\n\n{}\n\n", about.title, about.why);
    let date = super::page::date(record.at_s);
    let _ = writeln!(out, "`{}`, commit `{}`, {date}\n", command(record), record.commit);
    for (title, findings) in [
        ("Not as expected", findings::failures(record)),
        ("To be read with care", findings::warnings(record)),
    ] {
        if !findings.is_empty() {
            let _ = writeln!(out, "{title}:");
            for finding in findings {
                let _ = writeln!(out, "- **{}**: {}", finding.whose(), finding.what);
            }
            out.push('\n');
        }
    }
    for note in &record.notes {
        let _ = writeln!(out, "{note}\n");
    }
    if let Some(grid) = grid::main(record) {
        grid_markdown(&mut out, &grid);
    }
    for Table { title, columns, rows } in &record.tables {
        let _ = writeln!(out, "**{title}**\n");
        rows_markdown(&mut out, columns, rows);
    }
    let has_own = !record.tables.is_empty() && !grid::is_load(record);
    if let Some(grid) = grid::further(record).filter(|_| !has_own) {
        grid_markdown(&mut out, &grid);
    }
    out
}

fn grid_markdown(out: &mut String, grid: &Grid) {
    for Group { variant, rows } in &grid.groups {
        if !variant.is_empty() {
            let _ = writeln!(out, "**{variant}**\n");
        }
        let columns = [vec![String::new()], grid.columns.clone()].concat();
        let rows: Vec<Vec<String>> = rows.iter().map(row_markdown).collect();
        rows_markdown(out, &columns, &rows);
    }
}

fn row_markdown(Row { name, kind, cells }: &Row) -> Vec<String> {
    let name = match kind {
        RowKind::Failed(rounds, all) => format!("{name} **failed in {rounds} of {all} rounds**"),
        RowKind::Ours => format!("**{name}**"),
        RowKind::Peer | RowKind::Ratio => name.clone(),
    };
    let cell = |Cell { median, spread, is_bad }: &Cell| {
        let median = if *is_bad { format!("**{median}**") } else { median.clone() };
        if spread.is_empty() { median } else { format!("{median} ({spread})") }
    };
    [vec![name], cells.iter().map(cell).collect()].concat()
}

fn rows_markdown(out: &mut String, columns: &[String], rows: &[Vec<String>]) {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    out.push_str(&line(columns));
    let _ = writeln!(out, "|{}", "---|".repeat(columns.len()));
    rows.iter().for_each(|row| out.push_str(&line(row)));
    out.push('\n');
}
