//! The table: summaries side by side, one row per number.

use std::io::{self, Write};

use super::summary::{HORIZONS, Summary};

/// What a row shows of a summary.
type Show = fn(&Summary) -> String;

/// All rows but the returns', which repeat for each horizon.
const ROWS: [(&str, Show); 20] = [
    ("seconds", |s| number(s.seconds)),
    ("ticks a second", |s| number(s.ticks_rate)),
    ("quotes a second", |s| number(s.quotes_rate)),
    ("trades a second", |s| number(s.trades_rate)),
    ("depth groups a second", |s| number(s.groups_rate)),
    ("levels in a group: mean, median, p99", |s| several(&s.group_levels)),
    ("spread of one tick, % of quotes", |s| percent(s.spread_of_one)),
    ("spread, ticks: mean, p90, p99", |s| several(&s.spread_ticks)),
    ("price changes, % of quotes", |s| percent(s.price_changes)),
    ("best quantity / median: p10, p90", |s| several(&s.best_quantity)),
    ("between quotes, ms: median, p90, p99", |s| several(&s.quote_gaps.quantiles_ms)),
    ("between quotes, deviation / mean", |s| number(s.quote_gaps.variation)),
    ("quotes per second, variance / mean", |s| number(s.quote_gaps.burstiness)),
    ("quotes, busiest second / mean", |s| number(s.quote_gaps.busiest)),
    ("between trades, deviation / mean", |s| number(s.trade_gaps.variation)),
    ("trades per second, variance / mean", |s| number(s.trade_gaps.burstiness)),
    ("trades, busiest second / mean", |s| number(s.trade_gaps.busiest)),
    ("trades of an order: mean, p90, p99", |s| several(&s.order_trades)),
    ("orders that buy, %", |s| percent(s.buys)),
    ("trade size / median: p75, p90, p99", |s| several(&s.trade_size)),
];

/// Writes the table of these summaries, each under where it is from.
pub(super) fn write(columns: &[(&'static str, Summary)], out: &mut impl Write) -> io::Result<()> {
    let mut lines: Vec<(String, Vec<String>)> = vec![
        (String::new(), columns.iter().map(|(origin, _)| (*origin).to_owned()).collect()),
        (String::new(), columns.iter().map(|(_, s)| s.symbol.to_string()).collect()),
    ];
    for (label, show) in ROWS {
        lines.push((label.to_owned(), columns.iter().map(|(_, s)| show(s)).collect()));
    }
    for (index, horizon) in HORIZONS.iter().enumerate() {
        let mut line = |label: &str, show: &dyn Fn(&Summary) -> String| {
            let label = format!("returns over {horizon} s: {label}");
            lines.push((label, columns.iter().map(|(_, s)| show(s)).collect()));
        };
        line("deviation, bp", &|s| number(s.returns[index].deviation_bp));
        line("zero, %", &|s| percent(s.returns[index].zero));
        line("kurtosis", &|s| number(s.returns[index].kurtosis));
        line("tail index (Hill)", &|s| number(s.returns[index].tail_index));
        line("clustering", &|s| number(s.returns[index].clustering));
    }
    let widest = |cells: &mut dyn Iterator<Item = &String>| cells.map(String::len).max();
    let label_width = widest(&mut lines.iter().map(|line| &line.0)).unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| widest(&mut lines.iter().map(|line| &line.1[column])).unwrap_or(0))
        .collect();
    for (label, cells) in &lines {
        write!(out, "{label:label_width$}")?;
        for (cell, width) in cells.iter().zip(&widths) {
            write!(out, "  {cell:>width$}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Three significant digits or so.
fn number(x: f64) -> String {
    match x.abs() {
        size if size >= 100.0 => format!("{x:.0}"),
        size if size >= 10.0 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

fn several(numbers: &[f64]) -> String {
    let texts: Vec<String> = numbers.iter().map(|&x| number(x)).collect();
    texts.join(" ")
}

fn percent(part: f64) -> String {
    number(part * 100.0)
}
