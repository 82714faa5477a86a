//! How long and how much, and the table of what came of it.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::crowd::Life;
use crate::tape::Sums;

/// The size of a scene.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Ticks a second of the feed, all channels.
    pub(crate) rate: u32,
    /// How long a fault lasts.
    pub(crate) outage: Duration,
    /// The feed by which traffic is measured. A debug build takes long to fill 256 books.
    pub(crate) traffic: &'static str,
}

impl Plan {
    /// Short, unless the environment says otherwise.
    pub(crate) fn chosen() -> Self {
        let number = |name: &str, default: u32| {
            let name = format!("FAULTS_{name}");
            std::env::var(&name).map_or(default, |text| {
                text.parse().unwrap_or_else(|_| panic!("{name}={text}: a whole number is expected"))
            })
        };
        Self {
            clients: number("CLIENTS", 24) as usize,
            rate: number("RATE", 2_000),
            outage: Duration::from_secs(number("OUTAGE", 2).into()),
            traffic: if cfg!(debug_assertions) { "pulse" } else { "sim" },
        }
    }
}

/// What gateways have counted, over all that run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    /// Ticks read from the bus's log.
    pub(crate) replayed: f64,
    /// Times the log did not have what was missed.
    pub(crate) lost: f64,
}

impl Counted {
    /// What has come since `before`; all of it, if the gateway was started since.
    pub(crate) fn since(self, before: Self) -> Self {
        let is_the_same = self.replayed >= before.replayed && self.lost >= before.lost;
        let before = if is_the_same { before } else { Self::default() };
        Self { replayed: self.replayed - before.replayed, lost: self.lost - before.lost }
    }
}

/// What a fault came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The clients that were looked at: how many, and their sums.
    pub(crate) clients: usize,
    pub(crate) sums: Sums,
    pub(crate) silence_max: Duration,
    pub(crate) age_max: Duration,
    pub(crate) counted: Counted,
}

impl Outcome {
    pub(crate) fn of(lives: &[Arc<Life>], counted: Counted) -> Self {
        let (mut sums, mut silence_max, mut age_max) =
            (Sums::default(), Duration::ZERO, Duration::ZERO);
        for life in lives {
            let tape = life.tape();
            sums.add(&tape.sums);
            silence_max = silence_max.max(tape.silence_max);
            age_max = age_max.max(tape.age_max);
        }
        Self { clients: lives.len(), sums, silence_max, age_max, counted }
    }

    /// What holds at every fault: nothing doubled, nothing out of order, nothing false, and nothing gone without a word.
    ///
    /// # Panics
    /// If it does not.
    pub(crate) fn assert_honest(&self) {
        let Sums { trades, missing, repeated, wrong, .. } = self.sums;
        assert!(trades > 0, "{self:?}");
        assert_eq!((missing, repeated, wrong), (0, 0, 0), "{self:?}");
    }

    /// Nothing was lost, announced or not.
    ///
    /// # Panics
    /// If it was.
    pub(crate) fn assert_whole(&self) {
        self.assert_honest();
        assert_eq!((self.sums.announced(), self.sums.resets), (0, 0), "{self:?}");
    }

    /// Puts a row of the table on the screen, and into the file if one is wanted.
    pub(crate) fn print(&self, fault: &str, bus: &str) {
        let Sums { trades, missing, repeated, wrong, resets, silent, losses, .. } = self.sums;
        let mut announced = self.sums.announced().to_string();
        for (reason, count) in &self.sums.announced {
            write!(announced, " ({count} {reason})").expect("a string takes it");
        }
        let (silence, age) = (self.silence_max.as_millis(), self.age_max.as_millis());
        let (replayed, holes) = (self.counted.replayed, self.counted.lost);
        let row = format!(
            "| {fault} | {bus} | {} | {trades} | {losses} | {silence} | {age} | {silent} | {replayed} | \
             {holes} | {announced} | {resets} | {missing} | {repeated} | {wrong} |",
            self.clients
        );
        write_row(&row);
    }
}

/// Puts a line on the screen, and into the file if one is wanted.
pub(crate) fn write_row(row: &str) {
    println!("{row}");
    let Some(path) = std::env::var_os("FAULTS_TABLE") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a table's file");
    writeln!(file, "{row}").expect("a table's file");
}
