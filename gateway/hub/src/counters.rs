//! What a hub counts. One definition makes the fields, their sentences and the list that metrics are
//! exported from.

macro_rules! counters {
    ($($(#[doc = $sentence:literal])+ $name:ident,)*) => {
        /// Everything a hub counts, since its start. Plain numbers: a hub has one thread.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $sentence])+ pub $name: u64,)*
        }

        impl Counters {
            /// Name, sentence and value of each counter.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($sentence),+).trim_ascii(), self.$name),)*]
                    .into_iter()
            }

            /// Adds another hub's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Records taken from the ring.
    ticks,
    /// Records dropped because they are malformed or of an instrument or channel that is not defined.
    ticks_invalid,
    /// Records dropped because their number was already taken, as after a recovery.
    ticks_repeated,
    /// Numbers that never reached this shard, seen as a hole in a topic's numbers.
    ticks_missing,
    /// Depth groups dropped because they were incomplete or too big.
    groups_broken,
    /// Entries appended to the log.
    entries,
    /// Entries that left the log to make room.
    entries_evicted,
    /// Partial books appended to the log because somebody is subscribed to them.
    entries_derived,
    /// Books that lost their thread and waited for an image or a replacement.
    books_broken,
    /// Instruments defined.
    definitions,
    /// Definitions dropped: too many, or in contradiction to an earlier one.
    definitions_refused,
    /// Instruments whose data came into the stream, or back into it.
    attaches,
    /// Instruments whose data the source left out from then on.
    detaches,
    /// Epochs begun.
    epochs,
    /// Times the ring lapped this shard.
    laps,
    /// Records lost in laps.
    laps_lost,
    /// Recovery images taken over.
    images,
    /// Recovery images ignored because their epoch is over.
    images_ignored,
    /// Connections opened.
    connects,
    /// Connections refused because all slots are taken.
    connects_refused,
    /// Connections gone.
    disconnects,
    /// Topics and wildcards subscribed to.
    subscribes,
    /// Topics and wildcards unsubscribed from.
    unsubscribes,
    /// Grants given to open connections in place of others.
    entitlements,
    /// Topics, wildcards and streams that ended because a new grant does not allow them.
    topics_revoked,
    /// Topics refused in subscribe commands.
    topics_refused,
    /// Wildcards refused because their states would need too much memory.
    wildcards_refused,
    /// Subscriptions that resumed at the number the client named.
    resumes,
    /// Resumes refused because the number named is in the future.
    resumes_refused,
    /// Resumes that turned out to be in the future once the instrument's data was there, and became resets.
    resumes_void,
    /// Visits.
    visits,
    /// Visits that found nothing to send.
    visits_empty,
    /// Visits that ended because they had looked at enough.
    visits_out_of_entries,
    /// Visits that ended because the message was long enough.
    visits_out_of_bytes,
    /// Visits whose message the socket did not take.
    visits_abandoned,
    /// Entries, links, topics and instruments looked at in visits.
    examined,
    /// Waits for the pace of visits that ended early because the log was filling.
    waits_cut,
    /// Entries encoded.
    encodings,
    /// Entries encoded again because their bytes were overwritten.
    encodings_again,
    /// Messages of topics handed to sockets.
    deliveries,
    /// Bytes handed to sockets.
    bytes,
    /// Numbers a newer value or a merged change set stood for.
    skipped_conflated,
    /// Numbers that left the log before a client took them.
    skipped_lost,
    /// Numbers the shard itself did not have.
    skipped_lapped,
    /// Numbers before a resume point's reach.
    skipped_resume,
    /// Resets announced, one for each topic and client.
    resets,
    /// Newest values sent as snapshots.
    snapshots,
    /// Books sent as snapshots.
    book_snapshots,
    /// Book snapshots encoded; the difference to those sent was shared.
    book_snapshots_encoded,
    /// Book snapshots that had to wait for memory.
    snapshots_delayed,
    /// Book snapshots in transfer that were taken back from clients that do not read.
    transfers_revoked,
    /// Change sets merged from several depth groups.
    merges,
    /// Merges that would have been too big, so that a snapshot was sent.
    merges_refused,
    /// Times a connection was found lagging.
    lagging,
    /// Times a socket was not writable.
    blocked,
    /// Connections closed because they read too slowly.
    slow_closes,
    /// Connections of the exchange's protocol closed because a lap took trades of theirs.
    lapped_closes,
    /// Timers that fired.
    timers,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_name_and_a_sentence() {
        let counters = Counters { ticks: 7, ..Counters::default() };
        let all: Vec<_> = counters.each().collect();
        assert_eq!(all[0], ("ticks", "Records taken from the ring.", 7));
        assert!(
            all.iter().all(|(_, sentence, _)| sentence.ends_with('.') && !sentence.contains('\n'))
        );
        let mut sum = counters;
        sum.add(&counters);
        assert_eq!(sum.ticks, 14);
    }
}
