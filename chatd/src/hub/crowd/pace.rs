//! How many of those who come and go in a world are told singly, and how often the others together.
//!
//! Invariant: what a node pushes a second for it has a bound, however many hear it; where a node has up to 1,000
//! connections in a world it is told as often as the contract allows.

use chat_protocol::session::MAX_SINGLE;

/// [`ENTER`](chat_protocol::session::ENTER) and [`EXIT`](chat_protocol::session::EXIT) pushes of a world that a node
/// sends in a second at most.
const SINGLE_PUSHES: u64 = 20_000;
/// [`PRESENCE`](chat_protocol::session::PRESENCE) pushes of a world that a node sends in a second at most, as far as
/// [`MAX_SECONDS`] allows.
const TOGETHER_PUSHES: u64 = 10_000;
/// A node has at least one part in so many of what a world costs: there may be several nodes on a machine, and the
/// network between them and the clients is the same for all.
const SHARE: u64 = 5;
/// Whoever came or went is told of within about this.
const MAX_SECONDS: u64 = 30;

/// Who hears of a world, as far as is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Audience {
    /// Connections of this node in it.
    pub(super) here: u64,
    /// Users online in it on all nodes, when they were last counted.
    pub(super) users: u64,
}

impl Audience {
    /// Pushes that one telling costs.
    fn cost(self) -> u64 {
        self.here.max(self.users / SHARE).max(1)
    }

    /// How many are told singly in a second at most.
    pub(super) fn singles(self) -> usize {
        usize::try_from(SINGLE_PUSHES / self.cost()).map_or(MAX_SINGLE, |most| most.min(MAX_SINGLE))
    }

    /// Seconds from one telling of many together to the next, at least.
    pub(super) fn seconds(self) -> u64 {
        self.cost().div_ceil(TOGETHER_PUSHES).min(MAX_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_a_world_the_less_often_it_is_told() {
        let rule = |here, users| {
            let audience = Audience { here, users };
            (audience.singles(), audience.seconds())
        };
        assert_eq!([rule(0, 0), rule(1, 1), rule(1_000, 1_000)], [(20, 1); 3]);
        assert_eq!([rule(1_001, 1_001), rule(2_000, 2_000)], [(19, 1), (10, 1)]);
        assert_eq!([rule(10_000, 0), rule(10_001, 0), rule(20_000, 0)], [(2, 1), (1, 2), (1, 2)]);
        assert_eq!([rule(20_001, 0), rule(250_000, 0)], [(0, 3), (0, 25)]);
        assert_eq!(rule(u64::MAX, u64::MAX), (0, 30), "bounded");
        // A fifty-fourth of 200,000: as if the node had a fifth.
        assert_eq!(rule(3_704, 200_000), (0, 4));
        for here in (1..2_000).map(|step| step * 97) {
            let (singles, seconds) = rule(here, here);
            assert!(singles as u64 * here <= SINGLE_PUSHES && here <= TOGETHER_PUSHES * seconds, "{here}");
        }
    }
}
