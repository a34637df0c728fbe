//! Names of histories: `HISTORY` as a log begins, `HISTORY.GENERATION.CHANCE` after each fork.
//!
//! Invariant: a fork keeps the name of the history and counts one generation up, so that of two epochs anyone can tell
//! whether they are of one log, and which came first. `log.lua` forms the same names.

use std::cmp::Ordering;
use std::sync::Arc;

/// A name that no other history has: 16 hexadecimal digits of chance.
#[must_use]
pub fn new_epoch() -> Arc<str> {
    format!("{:016x}", rand::random::<u64>()).into()
}

/// A name for how a history goes on after `epoch` lost its end. Two forks of one epoch have different names.
#[must_use]
pub fn forked(epoch: &str) -> Arc<str> {
    format!("{}.{}.{}", history(epoch), generation(epoch).saturating_add(1), new_epoch()).into()
}

/// The history an epoch is of: what is the same in it and in its forks.
#[must_use]
pub fn history(epoch: &str) -> &str {
    epoch.split_once('.').map_or(epoch, |(history, _)| history)
}

/// Which of two epochs of one history came first; two forks of the same epoch are equal. Nothing of two histories.
#[must_use]
pub fn order(a: &str, b: &str) -> Option<Ordering> {
    (history(a) == history(b)).then(|| generation(a).cmp(&generation(b)))
}

fn generation(epoch: &str) -> u64 {
    epoch.split('.').nth(1).and_then(|generation| generation.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_comes_after_what_it_forks_and_is_of_the_same_history() {
        let first = new_epoch();
        let (second, sibling) = (forked(&first), forked(&first));
        let third = forked(&second);
        assert_eq!(order(&first, &second), Some(Ordering::Less));
        assert_eq!(order(&third, &second), Some(Ordering::Greater));
        assert_eq!(order(&first, &first), Some(Ordering::Equal));
        assert_eq!((order(&second, &sibling), second == sibling), (Some(Ordering::Equal), false));
        assert_eq!(order(&first, &new_epoch()), None);
        assert_eq!(history(&third), &*first);
    }
}
