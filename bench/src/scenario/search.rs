//! A search for the highest rate that a server keeps up with: up by a factor until it does not, then
//! between the last that it did and the first that it did not.

use serde::Deserialize;

use crate::record::Run;

/// The `[search]` of a scenario.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Search {
    /// Ticks a second to begin with, and to end at whatever happens.
    from: f64,
    to: f64,
    /// Between two steps on the way up.
    #[serde(default = "factor")]
    factor: f64,
    /// Halvings of the last step.
    #[serde(default = "two")]
    refine: u32,
    /// Keeping up means: all delivered, none skipped, and this.
    p99_max_ms: f64,
}

const fn factor() -> f64 {
    1.25
}

const fn two() -> u32 {
    2
}

/// How the last rate went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    KeptUp,
    TooMuch,
}

/// Where a search stands.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    search: Search,
    next: Option<f64>,
    kept_up: f64,
    too_much: Option<f64>,
    halvings: u32,
}

impl Search {
    pub(super) fn steps(&self) -> Steps {
        Steps {
            search: *self,
            next: Some(self.from),
            kept_up: 0.0,
            too_much: None,
            halvings: self.refine,
        }
    }

    pub(super) fn keeps_up(&self, run: &Run) -> bool {
        let Some(report) = &run.report else { return false };
        let p99_ms = crate::record::float(report.latency.p99_ns) / 1e6;
        run.failures.is_empty() && p99_ms < self.p99_max_ms
    }
}

impl Steps {
    /// The rate to try now; none when the search is over.
    pub(super) const fn next_rate(&self) -> Option<f64> {
        self.next
    }

    pub(super) fn tell(&mut self, step: Step) {
        let Some(rate) = self.next else { return };
        match step {
            Step::KeptUp => self.kept_up = rate,
            Step::TooMuch => self.too_much = Some(rate),
        }
        let Search { factor, to, .. } = self.search;
        self.next = match self.too_much {
            None if rate >= to => None,
            None => Some((rate * factor).min(to)),
            // Not even the first: there is nothing to be found below it.
            Some(_) if self.kept_up == 0.0 || self.halvings == 0 => None,
            Some(too_much) => {
                self.halvings -= 1;
                Some(f64::midpoint(self.kept_up, too_much).round())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(capacity: f64) -> Vec<f64> {
        let search = Search { from: 100.0, to: 1_000.0, factor: 2.0, refine: 2, p99_max_ms: 1.0 };
        let mut steps = search.steps();
        let mut rates = Vec::new();
        while let Some(rate) = steps.next_rate() {
            rates.push(rate);
            steps.tell(if rate <= capacity { Step::KeptUp } else { Step::TooMuch });
        }
        rates
    }

    #[test]
    fn a_search_goes_up_and_then_narrows_down() {
        assert_eq!(rates(500.0), [100.0, 200.0, 400.0, 800.0, 600.0, 500.0]);
        assert_eq!(rates(50.0), [100.0], "not even the first");
        assert_eq!(rates(9_000.0), [100.0, 200.0, 400.0, 800.0, 1_000.0], "no further than told");
    }
}
