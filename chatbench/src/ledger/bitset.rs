//! A growing set of small numbers, one bit each.
//!
//! Invariant: a number behind the stored words is not in the set.

/// Which messages a connection has seen, or a sender got accepted.
#[derive(Debug, Clone, Default)]
pub struct Bitset {
    words: Vec<u64>,
}

impl Bitset {
    /// Puts a number in; says whether it was new.
    pub fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = place(number);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Takes a number out.
    pub fn remove(&mut self, number: u32) {
        let (word, bit) = place(number);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether a number is in.
    pub fn contains(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many numbers are in.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many numbers are in both.
    pub fn count_common(&self, other: &Bitset) -> u64 {
        let pairs = self.words.iter().zip(&other.words);
        pairs.map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }

    /// The numbers that are in this set and not in the other, ascending.
    pub fn without<'a>(&'a self, other: &'a Bitset) -> impl Iterator<Item = u32> + 'a {
        self.words.iter().enumerate().flat_map(|(position, &word)| {
            let mut rest = word & !other.words.get(position).copied().unwrap_or(0);
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    u32::try_from(position).unwrap_or(u32::MAX) * 64 + bit
                })
            })
        })
    }
}

fn place(number: u32) -> (usize, u64) {
    (number as usize / 64, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_differences_are_exact() {
        let mut all = Bitset::default();
        let mut some = Bitset::default();
        for number in 0..200 {
            assert!(all.insert(number));
            if number % 3 == 0 && number < 100 {
                some.insert(number);
            }
        }
        assert!(!all.insert(64), "the second time is not new");
        assert_eq!((all.count(), some.count()), (200, 34));
        assert_eq!(all.count_common(&some), 34);
        let missing: Vec<u32> = all.without(&some).collect();
        assert_eq!(missing.len(), 166);
        assert_eq!(&missing[..3], &[1, 2, 4]);
        assert_eq!(missing.last(), Some(&199));
        assert_eq!(some.without(&all).count(), 0);
        all.remove(199);
        all.remove(5000);
        assert_eq!(all.count(), 199);
        assert!(all.contains(198) && !all.contains(199) && !all.contains(5000));
    }
}
