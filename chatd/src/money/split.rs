//! How the total of a packet becomes shares.
//!
//! Invariant: there are `count` shares, each at least one cent, together the total. Which of them is taken when says
//! nothing about its size: lucky shares are shuffled, so that early and late grabs stand alike.

use chat_protocol::red_packet::Mode;
use rand::Rng;
use rand::seq::{SliceRandom, index};
use serde::{Deserialize, Serialize};

use super::Cents;

/// How lucky shares are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// 二倍均值: each share lies between one cent and twice the mean of what is left. Shares stay near the mean.
    #[default]
    DoubleAverage,
    /// 线段切割: the total is cut at points drawn at random. A few shares are far greater than the others.
    LineCutting,
}

/// Divides `total` into `count` shares.
///
/// # Panics
/// When `count` is 0 or `total` is less than `count`; callers check both.
pub fn split(total: Cents, count: u32, mode: Mode, method: Method, random: &mut impl Rng) -> Vec<Cents> {
    assert!(count >= 1 && total >= count.into(), "{total} cents cannot be {count} shares");
    let mut shares = match (mode, method) {
        (Mode::Equal, _) => equal(total, count),
        (Mode::Lucky, Method::DoubleAverage) => double_average(total, count, random),
        (Mode::Lucky, Method::LineCutting) => line_cutting(total, count, random),
    };
    shares.shuffle(random);
    shares
}

fn equal(total: Cents, count: u32) -> Vec<Cents> {
    let (each, left_over) = total.divided(count);
    let share =
        |number: u32| if Cents::from(number) < left_over { each.saturating_add(Cents::ONE) } else { each };
    (0..count).map(share).collect()
}

/// With `n` shares to draw and `s` cents left beyond one for each, a share is one cent and `X` more, `X` uniform from 0
/// to `2s/n`. That bound is seldom whole; it is rounded up as often as its fraction says, so that the mean of `X` is
/// `s/n` exactly and every share has the mean of the packet.
fn double_average(total: Cents, count: u32, random: &mut impl Rng) -> Vec<Cents> {
    let mut surplus = total.less(count.into());
    let mut shares = Vec::with_capacity(count as usize);
    for left in (2..=count).rev() {
        let (whole, rest) = surplus.saturating_add(surplus).divided(left);
        let is_rounded_up = Cents::from(random.random_range(0..left)) < rest;
        let bound = if is_rounded_up { whole.saturating_add(Cents::ONE) } else { whole };
        let more = Cents::new(random.random_range(0..=bound.get()));
        surplus = surplus.less(more);
        shares.push(Cents::ONE.saturating_add(more));
    }
    shares.push(Cents::ONE.saturating_add(surplus));
    shares
}

/// `count` − 1 different points inside the total; a share is the way from one to the next.
fn line_cutting(total: Cents, count: u32, random: &mut impl Rng) -> Vec<Cents> {
    let inside = usize::try_from(total.less(Cents::ONE).unsigned()).unwrap_or(usize::MAX);
    let mut cuts = index::sample(random, inside, count as usize - 1).into_vec();
    cuts.sort_unstable();
    let end = |cut| Cents::try_from(cut as u64).unwrap_or(total).saturating_add(Cents::ONE);
    let ends = cuts.into_iter().map(end).chain([total]);
    ends.scan(Cents::ZERO, |begin, end| Some(end.less(std::mem::replace(begin, end)))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const METHODS: [Method; 2] = [Method::DoubleAverage, Method::LineCutting];

    proptest! {
        #[test]
        fn shares_are_whole_cents_and_sum_to_the_total(
            seed: u64, count in 1_u32..=10_000, more in 0_u64..=19_000_000, tight: bool, equal: bool,
        ) {
            let more = if tight { more % 7 } else { more };
            let total = Cents::from(count).saturating_add(Cents::try_from(more).unwrap());
            let mode = if equal { Mode::Equal } else { Mode::Lucky };
            for method in METHODS {
                let shares = split(total, count, mode, method, &mut StdRng::seed_from_u64(seed));
                prop_assert_eq!(shares.len(), count as usize);
                prop_assert_eq!(shares.iter().sum::<Cents>(), total);
                prop_assert!(shares.iter().all(|share| share.is_positive()));
                if equal {
                    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
                    prop_assert!(most.less(*least) <= Cents::ONE);
                }
            }
        }
    }

    /// Sums of the shares at each place, over many packets.
    fn sums(draw: impl Fn(&mut StdRng) -> Vec<Cents>, packets: u32) -> Vec<u64> {
        let mut random = StdRng::seed_from_u64(20_26);
        let mut sums = vec![0; draw(&mut random).len()];
        for _ in 0..packets {
            draw(&mut random).iter().zip(&mut sums).for_each(|(share, sum)| *sum += share.unsigned());
        }
        sums
    }

    /// The bound is 5 standard errors of the mean of a place: a share of double average has a standard deviation
    /// below the mean, one of line cutting about the mean.
    fn assert_even(sums: &[u64], mean: u64, packets: u32) {
        let bound = 5 * mean * u64::from(packets.isqrt());
        for (place, sum) in sums.iter().enumerate() {
            let off = sum.abs_diff(mean * u64::from(packets));
            assert!(off <= bound, "place {place}: {sum} of {packets} packets is {off} off, allowed {bound}");
        }
    }

    #[test]
    fn a_lucky_share_is_expected_to_be_the_same_whenever_it_is_taken() {
        const PACKETS: u32 = 20_000;
        for method in METHODS {
            assert_even(
                &sums(|random| split(Cents::new(1000), 10, Mode::Lucky, method, random), PACKETS),
                100,
                PACKETS,
            );
        }
    }

    #[test]
    fn drawing_itself_favours_no_place() {
        const PACKETS: u32 = 40_000;
        assert_even(&sums(|random| double_average(Cents::new(30), 10, random), PACKETS), 3, PACKETS);
        // 7 cents for 5: the bound of the first draw, 4/5, is whole in no case.
        let sums = sums(|random| double_average(Cents::new(7), 5, random), PACKETS);
        let bound = u64::from(5 * PACKETS.isqrt());
        for sum in sums {
            assert!((5 * sum).abs_diff(7 * u64::from(PACKETS)) <= 5 * bound, "{sum}");
        }
    }
}
