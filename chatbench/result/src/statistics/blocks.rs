//! The values of two sides, in blocks that were measured close together.
//!
//! Invariant: within a block any order of the sides was equally likely, so a block's level says nothing about the sides.

/// What was measured close together. Without any order in time all values are one block.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// Of the base.
    pub base: Vec<f64>,
    /// Of the head.
    pub head: Vec<f64>,
}

/// Logarithms of both sides without the levels of their blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned {
    /// By block, the base's.
    pub base: Vec<Vec<f64>>,
    /// By block, the head's.
    pub head: Vec<Vec<f64>>,
}

impl Block {
    /// Whether both sides are there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.base.is_empty() && !self.head.is_empty()
    }
}

/// Takes from the logarithm of each value the level of its block, which is the median of all its values: what the machine
/// did slowly during the measurement does not count as a difference, and one value far off does not move the others.
///
/// None when a value is not above zero: it has no logarithm, and no ratio to another.
#[must_use]
pub fn align(blocks: &[Block]) -> Option<Aligned> {
    let mut aligned = Aligned { base: Vec::new(), head: Vec::new() };
    for block in blocks.iter().filter(|block| block.is_whole()) {
        let logs = |values: &[f64]| -> Option<Vec<f64>> {
            values.iter().map(|value| (*value > 0.0).then(|| value.ln())).collect()
        };
        let (base, head) = (logs(&block.base)?, logs(&block.head)?);
        let level = median(&[base.as_slice(), &head].concat());
        let without = |logs: Vec<f64>| logs.into_iter().map(|log| log - level).collect();
        aligned.base.push(without(base));
        aligned.head.push(without(head));
    }
    (!aligned.base.is_empty()).then_some(aligned)
}

/// The middle value; the mean of both when there are two. NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    median_of(&mut sorted)
}

/// As [`median`]; sorts what it is given.
pub fn median_of(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn medians_of_few_and_of_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_value_of_zero_has_no_ratio_and_a_half_block_no_level() {
        let half = Block { base: vec![1.0], head: vec![] };
        let zero = Block { base: vec![1.0], head: vec![0.0] };
        let whole = Block { base: vec![1.0], head: vec![1.0] };
        assert_eq!(align(std::slice::from_ref(&half)), None);
        assert_eq!(align(&[whole.clone(), zero]), None);
        assert_eq!(align(&[half, whole]).unwrap().base, [[0.0]]);
    }

    proptest! {
        /// A block measured while the machine was slower by any factor says the same.
        #[test]
        fn levels_of_blocks_do_not_count(
            base in prop::collection::vec(0.1f64..1e6, 2..6),
            head in prop::collection::vec(0.1f64..1e6, 2..6),
            factor in 0.01f64..100.0,
        ) {
            let slower = |values: &[f64]| values.iter().map(|value| value * factor).collect::<Vec<_>>();
            let late = Block { base: slower(&base), head: slower(&head) };
            let aligned = align(&[Block { base, head }, late]).unwrap();
            for side in [&aligned.base, &aligned.head] {
                for (one, other) in side[0].iter().zip(&side[1]) {
                    prop_assert!((one - other).abs() < 1e-9);
                }
            }
        }

        #[test]
        fn as_many_values_are_below_the_median_as_above(values in prop::collection::vec(-1e9f64..1e9, 1..50)) {
            let middle = median(&values);
            let below = values.iter().filter(|value| **value < middle).count();
            let above = values.iter().filter(|value| **value > middle).count();
            prop_assert!(below <= values.len() / 2 && above <= values.len() / 2);
        }
    }
}
