//! Frames in the order in which they are to leave.
//!
//! Invariant: who waits for nothing, or for a single frame, costs no memory besides the queue itself.

use std::collections::VecDeque;

use bytes::Bytes;

/// A queue of frames.
#[derive(Debug, Default)]
pub struct Frames {
    /// None only when there is nothing behind it either.
    first: Option<Bytes>,
    /// The others. Boxed, because a queue has them for moments only.
    #[expect(clippy::box_collection, reason = "eight bytes for each of a million idle connections")]
    others: Option<Box<VecDeque<Bytes>>>,
}

impl Frames {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.as_ref().map_or(0, |others| others.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds one behind all.
    pub fn push(&mut self, frame: Bytes) {
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.others.get_or_insert_default().push_back(frame);
        }
    }

    /// Takes the one that leaves next.
    pub fn pop(&mut self) -> Option<Bytes> {
        let next = self.others.as_mut().and_then(|others| others.pop_front());
        if next.is_none() {
            self.others = None;
        }
        std::mem::replace(&mut self.first, next)
    }

    /// The one that leaves next.
    pub fn first_mut(&mut self) -> Option<&mut Bytes> {
        self.first.as_mut()
    }

    /// The one frame of a queue that has no other.
    #[must_use]
    pub fn only(&self) -> Option<&Bytes> {
        self.first.as_ref().filter(|_| self.others.is_none())
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(self.others.iter().flat_map(|others| others.iter()))
    }

    /// Moves the first `count` of them behind those of `to`.
    pub fn move_to(&mut self, to: &mut Frames, count: usize) {
        if to.is_empty() && count >= self.len() {
            std::mem::swap(self, to);
            return;
        }
        for _ in 0..count {
            let Some(frame) = self.pop() else { return };
            to.push(frame);
        }
    }

    /// Keeps the first `count`.
    pub fn truncate(&mut self, count: usize) {
        match (count, &mut self.others) {
            (0, _) => *self = Self::default(),
            (1, others) => *others = None,
            (_, Some(others)) => others.truncate(count - 1),
            (_, None) => {}
        }
    }
}

impl FromIterator<Bytes> for Frames {
    fn from_iter<I: IntoIterator<Item = Bytes>>(frames: I) -> Self {
        let mut queue = Self::default();
        frames.into_iter().for_each(|frame| queue.push(frame));
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: u8) -> Frames {
        (0..count).map(|number| Bytes::copy_from_slice(&[number])).collect()
    }

    fn numbers(frames: &Frames) -> Vec<u8> {
        frames.iter().map(|frame| frame[0]).collect()
    }

    #[test]
    fn frames_leave_in_the_order_they_came_and_one_alone_costs_nothing() {
        let mut queue = frames(1);
        assert!(queue.others.is_none());
        queue.push(Bytes::from_static(&[1]));
        queue.push(Bytes::from_static(&[2]));
        assert_eq!((queue.len(), queue.pop().unwrap()[0]), (3, 0));
        queue.push(Bytes::from_static(&[3]));
        assert_eq!((numbers(&queue), queue.len()), (vec![1, 2, 3], 3));
        let popped: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|frame| frame[0]).collect();
        assert_eq!((popped, queue.is_empty()), (vec![1, 2, 3], true));
        assert!(queue.others.is_none());
    }

    #[test]
    fn some_move_behind_others_and_the_rest_stays() {
        for (there, here, count) in [(0, 5, 9), (0, 5, 5), (0, 5, 3), (2, 5, 3), (2, 5, 9), (2, 0, 4)] {
            let (mut to, mut from) = (frames(there), frames(here));
            from.move_to(&mut to, usize::from(count));
            let moved = here.min(count);
            assert_eq!(numbers(&to), (0..there).chain(0..moved).collect::<Vec<_>>());
            assert_eq!(numbers(&from), (moved..here).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_cut_stands_behind_what_is_kept() {
        for (count, keep) in [(0, 0), (0, 3), (3, 0), (3, 1), (3, 2), (3, 3), (3, 9)] {
            let mut queue = frames(count);
            queue.truncate(usize::from(keep));
            assert_eq!(numbers(&queue), (0..count.min(keep)).collect::<Vec<_>>());
        }
    }
}
