//! The page around the sections: machine, commit, contents, style.

use std::fmt::Write as _;

use super::charts::Colours;
use super::plot::{Unit, escape};
use super::section::{self, Verdict};
use crate::record::{Machine, Record, float};

const STYLE: &str = include_str!("style.css");

/// The whole page; without its first line it is XML.
pub(super) fn html(records: &[Record]) -> String {
    let colours = Colours::new(records);
    let mut out =
        String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>");
    let _ = write!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>Tickcast, measured</title><style>{STYLE}</style></head><body><header>\
         <h1>Tickcast, measured</h1>"
    );
    for machine in machines(records) {
        let _ = write!(out, "<p>{}</p>", escape(&machine));
    }
    out.push_str(
        "<p>Figures are medians over rounds, with the lowest and highest round below. Latency is from the \
         time at which a tick was due to its receipt (open loop). Servers that failed an expectation \
         (✗) are compared with nobody.</p></header><nav><ul>",
    );
    for record in records {
        let verdict = Verdict::of(record);
        let _ = write!(
            out,
            "<li><a href=\"#{}\">{}</a> <span class=\"{}\">{}</span></li>",
            escape(&record.scenario.name),
            escape(&record.scenario.title),
            verdict.class(),
            verdict.text()
        );
    }
    out.push_str("</ul></nav><main>");
    for record in records {
        out.push_str(&section::html(record, &colours));
    }
    out.push_str("</main></body></html>\n");
    out
}

/// The tables alone.
pub(super) fn markdown(records: &[Record]) -> String {
    let mut out = String::new();
    for machine in machines(records) {
        let _ = writeln!(out, "{machine}\n");
    }
    records.iter().for_each(|record| out.push_str(&section::markdown(record)));
    out
}

/// Each machine that records are of, once.
fn machines(records: &[Record]) -> Vec<String> {
    let mut machines: Vec<String> = Vec::new();
    for record in records {
        let Machine { cpu, cores, memory_bytes, kernel } = &record.machine;
        let memory = Unit::Bytes.text(float(*memory_bytes));
        let machine = format!("{cpu}, {cores} cores, {memory} of memory, Linux {kernel}");
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    machines
}

/// A date and time of UTC (H. Hinnant, “chrono-compatible low-level date algorithms”, 2013: eras of
/// 400 years that begin in March).
pub(super) fn date(at_s: u64) -> String {
    let (days, second) = (at_s / 86_400 + 719_468, at_s % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3_600, second % 3_600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_709_251_200), "2024-03-01 00:00 UTC");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59 UTC");
    }
}
