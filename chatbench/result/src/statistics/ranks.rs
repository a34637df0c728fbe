//! The exact rank test: how likely is such an order of the rounds when the two sides are the same?
//!
//! Invariant: the probability is counted over every labelling, ties included; no approximation, no random numbers.

use super::blocks::Aligned;

/// How the ranks of two sides came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// Mann and Whitney's U of the base: pairs in which the base's value is the larger; ties count half.
    pub u: f64,
    /// Two-sided: twice the smaller tail, at most 1.
    pub p: f64,
    /// The smallest probability these numbers of rounds can give.
    pub least_p: f64,
}

/// Tests whether the base's values tend to be larger or smaller than the head's.
///
/// With one block this is the test of Mann and Whitney (*On a Test of Whether one of Two Random Variables is
/// Stochastically Larger than the Other*, Ann. Math. Statist. 18, 1947) with its exact distribution, given the ties. With
/// several blocks it is the aligned rank test of Hodges and Lehmann (*Rank Methods for Combination of Independent
/// Experiments in Analysis of Variance*, Ann. Math. Statist. 33, 1962): values are ranked together after their block's
/// level was taken away, and labels change places within their block only.
#[must_use]
pub fn rank_test(aligned: &Aligned) -> RankTest {
    let ranks = double_ranks(aligned);
    let mut observed = 0;
    // ways[s]: labellings of the blocks so far in which the base's doubled ranks sum to s.
    let mut ways = vec![1.0];
    let mut at = 0;
    for (base, head) in aligned.base.iter().zip(&aligned.head) {
        let block = &ranks[at..at + base.len() + head.len()];
        observed += block[..base.len()].iter().sum::<usize>();
        ways = convolve(&ways, &subset_sums(block, base.len()));
        at += block.len();
    }
    let all: f64 = ways.iter().sum();
    let tail = |sums: &[f64]| sums.iter().sum::<f64>() / all;
    let p = (2.0 * tail(&ways[..=observed]).min(tail(&ways[observed..]))).min(1.0);
    let mut possible = ways.iter().copied().filter(|ways| *ways > 0.0);
    let (first, last) = (possible.clone().next().unwrap_or(all), possible.next_back().unwrap_or(all));
    let n: usize = aligned.base.iter().map(Vec::len).sum();
    let u = observed as f64 / 2.0 - (n * (n + 1)) as f64 / 2.0;
    RankTest { u, p, least_p: (2.0 * first.min(last) / all).min(1.0) }
}

/// Twice the rank of each value among all, block after block, base before head; equal values share their mean rank.
fn double_ranks(aligned: &Aligned) -> Vec<usize> {
    let blocks = aligned.base.iter().zip(&aligned.head);
    let values: Vec<f64> = blocks.flat_map(|(base, head)| base.iter().chain(head).copied()).collect();
    let below = |value: f64| values.iter().filter(|other| **other < value).count();
    let equal = |value: f64| values.iter().filter(|other| **other == value).count();
    values.iter().map(|value| 2 * below(*value) + equal(*value) + 1).collect()
}

/// How many ways there are to choose `size` of the ranks with each sum.
fn subset_sums(ranks: &[usize], size: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; size + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        for chosen in (1..=size).rev() {
            let (fewer, more) = ways.split_at_mut(chosen);
            for sum in *rank..=most {
                more[0][sum] += fewer[chosen - 1][sum - rank];
            }
        }
    }
    ways.pop().unwrap_or_default()
}

fn convolve(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; one.len() + other.len() - 1];
    for (i, x) in one.iter().enumerate().filter(|(_, x)| **x > 0.0) {
        for (j, y) in other.iter().enumerate() {
            product[i + j] += x * y;
        }
    }
    product
}

/// Holm's step-down correction (*A Simple Sequentially Rejective Multiple Test Procedure*, Scand. J. Statist. 6, 1979):
/// with it the chance of even one false alarm among all metrics stays below the level of a single one.
#[must_use]
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|one, other| ps[*one].total_cmp(&ps[*other]));
    let mut adjusted = vec![1.0; ps.len()];
    let mut largest: f64 = 0.0;
    for (done, index) in order.into_iter().enumerate() {
        largest = largest.max((ps[index] * (ps.len() - done) as f64).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::blocks::{Block, align};
    use proptest::prelude::*;

    fn test(base: &[f64], head: &[f64]) -> RankTest {
        rank_test(&align(&[Block { base: base.to_vec(), head: head.to_vec() }]).unwrap())
    }

    /// Hollander and Wolfe, *Nonparametric Statistical Methods* (2nd edition 1999), table 4.1, page 110: permeability of
    /// the chorioamnion at term and between the 12th and 26th week. The statistic is 35, the exact two-sided p 0.2544.
    #[test]
    fn the_example_of_hollander_and_wolfe() {
        let at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let earlier = [1.15, 0.88, 0.90, 0.74, 1.21];
        let found = test(&at_term, &earlier);
        assert_eq!(found.u, 35.0);
        assert!((found.p - 0.2544).abs() < 5e-5, "{found:?}");
        assert_eq!(test(&earlier, &at_term).u, 15.0, "the other side has the rest of the 50 pairs");
    }

    /// Ages at diagnosis of diabetes, from the documentation of `scipy.stats.mannwhitneyu`: U 17 and 3, exact p 1/9.
    #[test]
    fn the_example_of_scipy() {
        let found = test(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]);
        assert_eq!(found.u, 17.0);
        assert!((found.p - 1.0 / 9.0).abs() < 1e-12, "{found:?}");
    }

    /// Sides that do not overlap: one labelling of C(10, 5) on each end.
    #[test]
    fn the_least_p_is_reached_by_sides_that_do_not_overlap() {
        let found = test(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((found.p - 2.0 / 252.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found.p, found.least_p);
        let one_each = test(&[1.0], &[2.0]);
        assert_eq!((one_each.p, one_each.least_p), (1.0, 1.0));
    }

    #[test]
    fn blocks_find_what_a_drift_would_hide() {
        let quads = [100.0, 130.0, 170.0, 220.0]
            .map(|level| Block { base: vec![level, level * 1.01], head: vec![level * 1.10, level * 1.11] });
        let together = Block {
            base: quads.iter().flat_map(|block| block.base.clone()).collect(),
            head: quads.iter().flat_map(|block| block.head.clone()).collect(),
        };
        let in_blocks = rank_test(&align(&quads).unwrap());
        assert!((in_blocks.p - 2.0 / 1296.0).abs() < 1e-12, "one of C(4,2)^4 on each end: {in_blocks:?}");
        assert!(rank_test(&align(&[together]).unwrap()).p > 0.05);
    }

    #[test]
    fn holm_as_in_his_steps() {
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    /// Every labelling tried one by one.
    fn brute(base: &[f64], head: &[f64]) -> f64 {
        let all: Vec<f64> = base.iter().chain(head).copied().collect();
        let rank = |value: &f64| {
            let below = all.iter().filter(|other| *other < value).count();
            2 * below + all.iter().filter(|other| *other == value).count() + 1
        };
        let ranks: Vec<usize> = all.iter().map(rank).collect();
        let observed: usize = ranks[..base.len()].iter().sum();
        let (mut below, mut above, mut ways) = (0.0, 0.0, 0.0);
        for labels in 0_u32..1 << all.len() {
            if labels.count_ones() as usize == base.len() {
                let sum: usize = (0..all.len()).filter(|i| labels >> i & 1 == 1).map(|i| ranks[i]).sum();
                ways += 1.0;
                below += f64::from(u8::from(sum <= observed));
                above += f64::from(u8::from(sum >= observed));
            }
        }
        (2.0 * f64::min(below, above) / ways).min(1.0)
    }

    proptest! {
        /// Small whole numbers, so that ties are many.
        #[test]
        fn counting_agrees_with_trying_all(
            base in prop::collection::vec(1u8..6, 1..6),
            head in prop::collection::vec(1u8..6, 1..6),
        ) {
            let (base, head): (Vec<f64>, Vec<f64>) =
                (base.into_iter().map(f64::from).collect(), head.into_iter().map(f64::from).collect());
            let found = test(&base, &head);
            prop_assert!((found.p - brute(&base, &head)).abs() < 1e-9);
            let mirrored = test(&head, &base);
            prop_assert!((found.p - mirrored.p).abs() < 1e-9);
            prop_assert_eq!(found.u + mirrored.u, (base.len() * head.len()) as f64);
            prop_assert!(found.least_p <= found.p + 1e-12);
        }
    }
}
