//! The registry: who has which sessions, over all shards, for those who may have only so many at once.
//!
//! The newest session wins: over the limit the oldest is closed, with a code that tells its client not to come
//! back, or two of them would put each other out for ever. Clients that come back all the same do so only for
//! a while: a user's sessions are replaced so often in a minute, and then those that are there stay. A lock, taken
//! when a session gets its badge and when it ends, and never for a tick.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, OnceLock, PoisonError};

use sys::Token;

use super::badge::User;
use crate::shard::{Control, Post};

/// How often sessions of one user are replaced in a minute: more than by anybody who goes from one machine to
/// another, or whose network drops connections that the gateway does not know to be gone.
const REPLACEMENTS_PER_MINUTE: u64 = 12;

const MINUTE_NS: u64 = 60_000_000_000;

/// See the module's header.
#[derive(Default)]
pub(crate) struct Registry {
    /// Each user's sessions. As many as there are sessions.
    seats: Mutex<HashMap<User, Seats>>,
    /// The ways to the shards, by their number.
    posts: OnceLock<Vec<Post>>,
}

/// The sessions of one user.
#[derive(Debug, Default)]
struct Seats {
    /// Oldest first.
    taken: VecDeque<Seat>,
    /// When no session could have been replaced, ns of the shards' clock: from that time on replacements are
    /// saved up, for a minute at most.
    empty_ns: u64,
}

impl Seats {
    /// Whether a session may be replaced now, and takes it for done if so.
    fn may_replace(&mut self, now_ns: u64) -> bool {
        // The clock starts with the machine; there must have been a minute before.
        let now_ns = now_ns.saturating_add(MINUTE_NS);
        let cost_ns = MINUTE_NS / REPLACEMENTS_PER_MINUTE;
        let after_ns = self.empty_ns.max(now_ns - MINUTE_NS) + cost_ns;
        let may = after_ns <= now_ns;
        if may {
            self.empty_ns = after_ns;
        }
        may
    }
}

/// A session has no place: those of its user replace each other all the time, and the ones that are there stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSeat;

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) shard: usize,
    pub(crate) token: Token,
}

impl Registry {
    /// The shards, once they have started.
    pub(crate) fn set_posts(&self, posts: Vec<Post>) {
        // Boot does it once.
        let _ = self.posts.set(posts);
    }

    /// A session is a user's, who may have so many. The oldest beyond that are told to go.
    pub(crate) fn enter(
        &self,
        user: User,
        most: Option<NonZeroU32>,
        seat: Seat,
        now_ns: u64,
    ) -> Result<(), NoSeat> {
        for oldest in self.seat(user, most, seat, now_ns)? {
            if let Some(post) = self.posts.get().and_then(|posts| posts.get(oldest.shard)) {
                post.send(Control::Replaced(oldest.token));
            }
        }
        Ok(())
    }

    /// Gives a session its place, and says whose were taken for it.
    fn seat(
        &self,
        user: User,
        most: Option<NonZeroU32>,
        seat: Seat,
        now_ns: u64,
    ) -> Result<Vec<Seat>, NoSeat> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let own = seats.entry(user).or_default();
        let most =
            most.map_or(usize::MAX, |most| usize::try_from(most.get()).unwrap_or(usize::MAX));
        let beyond = (own.taken.len() + 1).saturating_sub(most);
        // There are some then: its entry stays.
        if beyond > 0 && !own.may_replace(now_ns) {
            return Err(NoSeat);
        }
        own.taken.push_back(seat);
        Ok(own.taken.drain(..beyond).collect())
    }

    /// A session has ended, or is another user's now.
    pub(crate) fn leave(&self, user: &User, seat: Seat) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = seats.get_mut(user) else { return };
        own.taken.retain(|other| *other != seat);
        if own.taken.is_empty() {
            seats.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_who_leaves_makes_room() {
        let registry = Registry::default();
        let user = User::Key("a".into());
        let seat = |slot| Seat { shard: 0, token: Token { slot, generation: 1 } };
        let enter = |slot| registry.seat(user.clone(), NonZeroU32::new(2), seat(slot), 0).unwrap();
        assert!(enter(1).is_empty() && enter(2).is_empty());
        assert_eq!(enter(3), [seat(1)]);
        registry.leave(&user, seat(1));
        registry.leave(&user, seat(2));
        assert!(enter(4).is_empty());
        // A smaller limit takes hold with the next session.
        let alone = registry.seat(user.clone(), NonZeroU32::new(1), seat(5), 0);
        assert_eq!(alone.unwrap(), [seat(3), seat(4)]);
        let other = User::Subject("a".into());
        let of_other = registry.seat(other.clone(), NonZeroU32::new(1), seat(6), 0);
        assert!(of_other.unwrap().is_empty());
        let users = || registry.seats.lock().unwrap().len();
        assert_eq!(users(), 2);
        registry.leave(&user, seat(5));
        registry.leave(&other, seat(6));
        assert_eq!(users(), 0);
    }

    #[test]
    fn those_who_put_each_other_out_do_not_go_on_for_ever() {
        let registry = Registry::default();
        let user = User::Key("a".into());
        let enter = |slot, now_ns| {
            let seat = Seat { shard: 0, token: Token { slot, generation: 1 } };
            registry.seat(user.clone(), NonZeroU32::new(1), seat, now_ns)
        };
        let now_ns = 5 * MINUTE_NS;
        let entered = (0..100).filter(|slot| enter(*slot, now_ns).is_ok()).count();
        assert_eq!(entered as u64, 1 + REPLACEMENTS_PER_MINUTE);
        assert_eq!(enter(100, now_ns + 1), Err(NoSeat));
        let later_ns = now_ns + MINUTE_NS / REPLACEMENTS_PER_MINUTE;
        assert_eq!(enter(101, later_ns).unwrap().len(), 1);
        assert_eq!(enter(102, later_ns), Err(NoSeat));
    }
}
