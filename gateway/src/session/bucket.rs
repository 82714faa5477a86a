//! How many commands a client may send: a token bucket that also remembers how much more it tried.

/// Tokens of one client. Refills with time, up to a burst; what is refused is subtracted too, so that
/// a client that goes on regardless runs up a debt and is told apart from one that was once too fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Thousandths of tokens; negative: debt.
    milli_tokens: i64,
    refilled_ms: u32,
}

/// Whether a command is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Accepted,
    /// Too fast: it is answered with an error.
    Refused,
    /// Too fast for too long: the connection is to be closed.
    Flood,
}

/// Rate and burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Tokens a second.
    rate: u32,
    /// Tokens that a bucket holds; as many are the debt that counts as a flood.
    burst: u32,
}

impl Allowance {
    /// So many a second, in bursts of twice as many.
    pub(crate) const fn of_rate(rate: u32) -> Self {
        Self { rate, burst: rate.saturating_mul(2) }
    }

    /// So many a second, and no more of them at once.
    pub(crate) const fn without_bursts(rate: u32) -> Self {
        Self { rate, burst: rate }
    }

    /// Tokens a second.
    pub(crate) const fn rate(self) -> u32 {
        self.rate
    }

    const fn burst_milli(self) -> i64 {
        self.burst as i64 * 1000
    }
}

impl Bucket {
    /// A full bucket.
    pub(crate) const fn full(allowance: Allowance, now_ms: u32) -> Self {
        Self { milli_tokens: allowance.burst_milli(), refilled_ms: now_ms }
    }

    /// Takes `cost` tokens if they are there; what is refused costs nothing.
    pub(crate) fn try_take(&mut self, allowance: Allowance, cost: u32, now_ms: u32) -> Verdict {
        if self.take(allowance, 0, now_ms) == Verdict::Accepted
            && self.milli_tokens >= i64::from(cost) * 1000
        {
            return self.take(allowance, cost, now_ms);
        }
        Verdict::Refused
    }

    /// Gives one token back.
    pub(crate) const fn give_back(&mut self) {
        self.milli_tokens += 1000;
    }

    /// Takes `cost` tokens.
    pub(crate) fn take(&mut self, allowance: Allowance, cost: u32, now_ms: u32) -> Verdict {
        let burst = allowance.burst_milli();
        // A rate per second is as many thousandths per millisecond.
        let refill = i64::from(now_ms.wrapping_sub(self.refilled_ms)) * i64::from(allowance.rate);
        self.refilled_ms = now_ms;
        let before = self.milli_tokens.saturating_add(refill).min(burst);
        self.milli_tokens = before - i64::from(cost) * 1000;
        if self.milli_tokens >= 0 {
            Verdict::Accepted
        } else if self.milli_tokens > -burst {
            Verdict::Refused
        } else {
            Verdict::Flood
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance::of_rate(100);

    #[test]
    fn a_thousand_commands_a_second_are_a_flood_within_the_first_second() {
        let mut bucket = Bucket::full(ALLOWANCE, u32::MAX - 100);
        let verdicts: Vec<Verdict> = (0..1000u32)
            .map(|ms| bucket.take(ALLOWANCE, 1, (u32::MAX - 100).wrapping_add(ms)))
            .collect();
        let accepted = verdicts.iter().filter(|v| **v == Verdict::Accepted).count();
        assert!((200..240).contains(&accepted), "{accepted}");
        assert!(verdicts.contains(&Verdict::Refused));
        assert_eq!(verdicts.last(), Some(&Verdict::Flood));
    }

    #[test]
    fn what_is_refused_costs_nothing_where_that_is_the_rule() {
        let mut bucket = Bucket::full(ALLOWANCE, 0);
        assert_eq!(bucket.try_take(ALLOWANCE, 201, 0), Verdict::Refused);
        assert_eq!(bucket.try_take(ALLOWANCE, 200, 0), Verdict::Accepted);
        assert_eq!(bucket.try_take(ALLOWANCE, 1, 0), Verdict::Refused);
        assert_eq!(bucket.try_take(ALLOWANCE, 1, 10), Verdict::Accepted);
        bucket.give_back();
        assert_eq!(bucket.try_take(ALLOWANCE, 1, 10), Verdict::Accepted);
    }

    #[test]
    fn a_client_at_the_rate_is_never_refused_and_one_burst_is_forgiven() {
        let mut bucket = Bucket::full(ALLOWANCE, 0);
        assert!((0..10_000u32).all(|i| bucket.take(ALLOWANCE, 1, i * 10) == Verdict::Accepted));
        let now = 110_000;
        let burst = (0..300).map(|_| bucket.take(ALLOWANCE, 1, now));
        assert_eq!(burst.filter(|v| *v == Verdict::Refused).count(), 100);
        assert_eq!(bucket.take(ALLOWANCE, 1, now + 5000), Verdict::Accepted);
    }
}
