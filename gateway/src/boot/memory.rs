//! The ceiling of the process's memory: watched a few times a second, and what is beyond it is shed by shards.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::reload::Running;
use crate::fleet::Fleet;
use crate::shard::Pressure;
use crate::telemetry::resident_bytes;

/// How often it is looked at. A shard that sheds gives memory back within a turn.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the memory in use means where there may be `most`.
const fn pressure_of(used: u64, most: u64) -> Pressure {
    if used > most {
        Pressure::Over
    } else if used > most / 20 * 19 {
        Pressure::Near
    } else {
        Pressure::None
    }
}

/// Keeps the process below the ceiling, if there is one, for as long as the task is let run.
pub(super) async fn keep_below(mut running: watch::Receiver<Arc<Running>>, fleet: Arc<Fleet>) {
    let mut last = Pressure::None;
    loop {
        let most = running.borrow_and_update().memory_max;
        if most == 0 && last == Pressure::None {
            // There is nothing to look at until there is a ceiling.
            if running.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(used) = resident_bytes() else { continue };
        let pressure = pressure_of(used, if most == 0 { u64::MAX } else { most });
        if pressure != last {
            tracing::warn!(?pressure, used, most, "memory (memory-max)");
        }
        // Each time that it is over, some more are to go.
        if pressure != last || pressure == Pressure::Over {
            fleet.press(pressure);
        }
        last = pressure;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_sessions_are_refused_before_old_ones_are_closed() {
        assert_eq!(pressure_of(0, 1_000), Pressure::None);
        assert_eq!(pressure_of(950, 1_000), Pressure::None);
        assert_eq!(pressure_of(951, 1_000), Pressure::Near);
        assert_eq!(pressure_of(1_000, 1_000), Pressure::Near);
        assert_eq!(pressure_of(1_001, 1_000), Pressure::Over);
    }
}
