//! Reading a bucket's log at NATS, forward from any place, in pieces.
//!
//! A consumer without acknowledgements, in the server's memory, delivers what matches the bucket's
//! subject; it is kept between the pieces of one reading and forgotten by the server soon after the
//! last. Single messages by subject and number would do without, but cost a round trip each; in
//! batches servers give them only from 2.11 on.

use std::time::Duration;

use async_nats::{Message, StatusCode};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{Nats, lock, parse_entry};
use crate::backend::{Backend, BusError};
use crate::entry::{Entry, Offset, Slice};
use crate::nats::api::{self, ErrorCode};

/// When the server forgets a consumer of which nothing is asked.
const CONSUMER_IDLE: Duration = Duration::from_secs(10);

/// Messages asked for at once. Bytes bound the answer; this bounds the server's work between looks at us.
const PULL_MESSAGES: usize = 1_000;

/// A consumer that has delivered everything up to its position.
#[derive(Debug)]
pub(super) struct Cursor {
    consumer: String,
    position: Offset,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing more is in the log.
    Log,
    /// There is more.
    Piece,
    /// The server does not know the consumer any more.
    Forgotten,
}

impl Nats {
    pub(super) async fn read_log(
        &self,
        bucket: u32,
        after: Offset,
        max_bytes: usize,
    ) -> Result<Slice, BusError> {
        let kept = lock(&self.0.cursors).remove(&bucket).filter(|kept| kept.position == after);
        if let Some(cursor) = kept {
            let (entries, end) = self.pull(bucket, &cursor, max_bytes).await?;
            if end != End::Forgotten {
                return self.finish(bucket, cursor, entries, end).await;
            }
        }
        let start = json!({
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after.0 + 1,
        });
        let stream = self.0.names.stream(bucket);
        let Some(created) = self.0.api.created(&stream).await? else { return Ok(Slice::default()) };
        let before = lock(&self.0.streams).insert(bucket, created.clone());
        if before.is_some_and(|before| before != created) {
            // Its numbers began anew, and may be higher already than the reader's.
            return Ok(Slice::default());
        }
        let Some(cursor) = self.create(bucket, start).await? else { return Ok(Slice::default()) };
        let cursor = Cursor { position: after, ..cursor };
        match self.pull(bucket, &cursor, max_bytes).await? {
            (_, End::Forgotten) => Err(BusError::Malformed("a consumer went as it was made")),
            (entries, end) => self.finish(bucket, cursor, entries, end).await,
        }
    }

    pub(super) async fn locate_in_log(
        &self,
        bucket: u32,
        unix_ns: u64,
    ) -> Result<Offset, BusError> {
        let start = json!({
            "deliver_policy": "by_start_time",
            "opt_start_time": rfc3339(unix_ns),
        });
        let stream = self.0.names.stream(bucket);
        let Some(created) = self.0.api.created(&stream).await? else { return Ok(Offset::START) };
        lock(&self.0.streams).insert(bucket, created);
        let Some(cursor) = self.create(bucket, start).await? else { return Ok(Offset::START) };
        let position = cursor.position;
        lock(&self.0.cursors).insert(bucket, cursor);
        Ok(position)
    }

    /// A consumer of the bucket's log from this start on; `None`: there is no log at all.
    async fn create(&self, bucket: u32, start: Value) -> Result<Option<Cursor>, BusError> {
        let stream = self.0.names.stream(bucket);
        let mut config = json!({
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self.0.names.log(bucket),
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": u64::try_from(CONSUMER_IDLE.as_nanos()).unwrap_or(u64::MAX),
        });
        if let (Value::Object(config), Value::Object(start)) = (&mut config, start) {
            config.extend(start);
        }
        let body = json!({ "stream_name": stream, "config": config });
        let answer = match self.0.api.ask(&format!("CONSUMER.CREATE.{stream}"), &body).await? {
            Ok(answer) => answer,
            Err(refusal) if refusal.code == ErrorCode::STREAM_NOT_FOUND => return Ok(None),
            Err(refusal) => return Err(BusError::Refused(Box::new(refusal))),
        };
        let consumer = answer["name"].as_str().unwrap_or_default().to_owned();
        let position = Offset(api::number(&answer, "/delivered/stream_seq")?);
        Ok(Some(Cursor { consumer, position }))
    }

    async fn pull(
        &self,
        bucket: u32,
        cursor: &Cursor,
        max_bytes: usize,
    ) -> Result<(Vec<Entry>, End), BusError> {
        let stream = self.0.names.stream(bucket);
        let what = format!("CONSUMER.MSG.NEXT.{stream}.{}", cursor.consumer);
        let body = json!({ "batch": PULL_MESSAGES, "max_bytes": max_bytes, "no_wait": true });
        let mut answers = self.0.api.pull(&what, &body).await?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        loop {
            let answer = tokio::time::timeout(self.0.api.timeout(), answers.next()).await;
            let message = answer.map_err(|_| BusError::TimedOut)?.ok_or(BusError::Closed)?;
            if let Some(end) = status_end(&message) {
                if entries.is_empty() && end == End::Piece {
                    // The first one is larger than the whole piece.
                    let entry = self.entry_after(bucket, cursor.position).await?;
                    return Ok((entry.into_iter().collect(), End::Piece));
                }
                return Ok((entries, end));
            }
            let pending = message.reply.as_deref().and_then(api::pending);
            bytes += message.payload.len();
            entries.push(parse_entry(&message)?);
            match pending {
                Some(0) => return Ok((entries, End::Log)),
                Some(_) if entries.len() == PULL_MESSAGES || bytes >= max_bytes => {
                    return Ok((entries, End::Piece));
                }
                Some(_) => {}
                None => return Err(BusError::Malformed("a delivery that is none")),
            }
        }
    }

    async fn entry_after(&self, bucket: u32, after: Offset) -> Result<Option<Entry>, BusError> {
        let names = &self.0.names;
        let (stream, subject) = (names.stream(bucket), names.log(bucket));
        let message = self.0.api.next(&stream, &subject, after.0 + 1).await?;
        message.map(|message| parse_entry(&message)).transpose()
    }

    /// The slice of these entries; keeps the consumer if there is more.
    async fn finish(
        &self,
        bucket: u32,
        cursor: Cursor,
        entries: Vec<Entry>,
        end: End,
    ) -> Result<Slice, BusError> {
        let newest = entries.last().map_or(cursor.position, |entry| entry.offset);
        let tail = match end {
            End::Log | End::Forgotten => newest,
            End::Piece => {
                lock(&self.0.cursors).insert(bucket, Cursor { position: newest, ..cursor });
                self.tail(bucket).await?.map_or(newest, |entry| entry.offset.max(newest))
            }
        };
        Ok(Slice { entries, tail })
    }
}

/// Whether the message is none but says that there are no more, or not in this answer.
fn status_end(message: &Message) -> Option<End> {
    match message.status? {
        StatusCode::NOT_FOUND | StatusCode::TIMEOUT => Some(End::Log),
        StatusCode::NO_RESPONDERS => Some(End::Forgotten),
        _ => Some(End::Piece),
    }
}

/// The time as JetStream wants it: `2026-11-21T09:30:00.000000001Z`.
fn rfc3339(unix_ns: u64) -> String {
    const DAY_S: u64 = 86_400;
    let (seconds, ns) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    let (days, second) = (seconds / DAY_S, seconds % DAY_S);
    // Howard Hinnant's days-to-civil, for days since the epoch that are not negative: years begin in
    // March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_782_400_000_000_007), "2000-02-29T00:00:00.000000007Z");
        assert_eq!(rfc3339(1_795_253_401_500_000_000), "2026-11-21T09:30:01.500000000Z");
        assert_eq!(rfc3339(4_107_542_399_000_000_000), "2100-02-28T23:59:59.000000000Z");
    }
}
