//! The registry: who has which sessions, over all shards, for those who may have only so many at once.
//!
//! The newest session wins: over the limit the oldest is closed, with a code that tells its client not to come
//! back, or two of them would put each other out for ever. A lock, taken when a session gets its badge and when
//! it ends, and never for a tick.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, OnceLock, PoisonError};

use sys::Token;

use super::badge::User;
use crate::shard::{Control, Post};

/// See the module's header.
#[derive(Default)]
pub(crate) struct Registry {
    /// Each user's sessions, oldest first. As many as there are sessions.
    seats: Mutex<HashMap<User, VecDeque<Seat>>>,
    /// The ways to the shards, by their number.
    posts: OnceLock<Vec<Post>>,
}

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
    pub(crate) fn enter(&self, user: User, most: Option<NonZeroU32>, seat: Seat) {
        for oldest in self.seat(user, most, seat) {
            if let Some(post) = self.posts.get().and_then(|posts| posts.get(oldest.shard)) {
                post.send(Control::Replaced(oldest.token));
            }
        }
    }

    /// Gives a session its place, and says whose were taken for it.
    fn seat(&self, user: User, most: Option<NonZeroU32>, seat: Seat) -> Vec<Seat> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let own = seats.entry(user).or_default();
        own.push_back(seat);
        let most =
            most.map_or(usize::MAX, |most| usize::try_from(most.get()).unwrap_or(usize::MAX));
        let beyond = own.len().saturating_sub(most);
        own.drain(..beyond).collect()
    }

    /// A session has ended, or is another user's now.
    pub(crate) fn leave(&self, user: &User, seat: Seat) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = seats.get_mut(user) else { return };
        own.retain(|other| *other != seat);
        if own.is_empty() {
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
        let enter = |slot| registry.seat(user.clone(), NonZeroU32::new(2), seat(slot));
        assert!(enter(1).is_empty() && enter(2).is_empty());
        assert_eq!(enter(3), [seat(1)]);
        registry.leave(&user, seat(1));
        registry.leave(&user, seat(2));
        assert!(enter(4).is_empty());
        // A smaller limit takes hold with the next session.
        assert_eq!(registry.seat(user.clone(), NonZeroU32::new(1), seat(5)), [seat(3), seat(4)]);
        let other = User::Subject("a".into());
        assert!(registry.seat(other.clone(), NonZeroU32::new(1), seat(6)).is_empty());
        let users = || registry.seats.lock().unwrap().len();
        assert_eq!(users(), 2);
        registry.leave(&user, seat(5));
        registry.leave(&other, seat(6));
        assert_eq!(users(), 0);
    }
}
