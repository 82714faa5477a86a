//! What went wrong in a record's runs, gathered: whose, in how many rounds, in which words.

use crate::record::{Record, Run};

/// One thing about a server's variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) server: String,
    pub(super) variant: String,
    /// Rounds in which it was so, and rounds in all.
    pub(super) rounds: [usize; 2],
    pub(super) what: String,
}

/// Expectations that runs failed.
pub(super) fn failures(record: &Record) -> Vec<Finding> {
    gather(record, |run| run.failures.clone())
}

/// Reasons why figures may not be the server's.
pub(super) fn warnings(record: &Record) -> Vec<Finding> {
    gather(record, |run| {
        let warnings = run.report.iter().flat_map(|report| &report.warnings);
        warnings.map(ToString::to_string).collect()
    })
}

/// Equal but for their figures is the same thing: the first round's words stand for all.
fn gather(record: &Record, of: impl Fn(&Run) -> Vec<String>) -> Vec<Finding> {
    let mut findings: Vec<(String, Finding)> = Vec::new();
    for run in &record.runs {
        let mut seen = Vec::new();
        for what in of(run) {
            let key = what.replace(|character: char| character.is_ascii_digit(), "");
            let key = format!("{}\n{}\n{key}", run.server, run.variant);
            if seen.contains(&key) {
                continue;
            }
            match findings.iter_mut().find(|(known, _)| *known == key) {
                Some((_, finding)) => finding.rounds[0] += 1,
                None => {
                    let is_same =
                        |other: &&Run| other.server == run.server && other.variant == run.variant;
                    let all = record.runs.iter().filter(is_same).count();
                    let (server, variant) = (run.server.clone(), run.variant.clone());
                    let finding = Finding { server, variant, rounds: [1, all], what };
                    findings.push((key.clone(), finding));
                }
            }
            seen.push(key);
        }
    }
    findings.into_iter().map(|(_, finding)| finding).collect()
}

impl Finding {
    /// Whose it is, and in which rounds.
    pub(super) fn whose(&self) -> String {
        let [rounds, all] = self.rounds;
        let variant =
            if self.variant.is_empty() { String::new() } else { format!(", {}", self.variant) };
        format!("{}{variant}, {rounds} of {all} rounds", self.server)
    }
}
