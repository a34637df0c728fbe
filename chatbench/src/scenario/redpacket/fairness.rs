//! Whether early and late winners of lucky packets got the same on average.
//!
//! Invariant: statistics only; no verdict depends on them, and no money is computed here.

use chat_protocol::red_packet::{DetailResponse, Mode};
use chatbench_result::model::{Fairness, Tenth};

/// Tenths of the winners, by arrival.
const PARTS: usize = 10;
/// Fewest shares that say anything.
const FEWEST: usize = 100;
/// Above this, the parts differ more than by chance in 999 of 1000 runs (9 degrees of freedom).
pub const SUSPICIOUS: f64 = 27.88;

/// Of all lucky packets whose shares are all taken; none when there are too few shares.
pub fn of(details: &[DetailResponse]) -> Option<Fairness> {
    let mut parts: Vec<Vec<f64>> = vec![Vec::new(); PARTS];
    let whole = details.iter().filter(|detail| detail.mode == Mode::Lucky && detail.open == 0);
    for detail in whole.filter(|detail| detail.winners.len() == detail.count as usize && detail.count >= 10) {
        let mean = detail.total as f64 / f64::from(detail.count);
        for (position, winner) in detail.winners.iter().enumerate() {
            parts[position * PARTS / detail.winners.len()].push(winner.amount as f64 / mean);
        }
    }
    let all: Vec<f64> = parts.iter().flatten().copied().collect();
    if all.len() < FEWEST {
        return None;
    }
    let mean = |shares: &[f64]| shares.iter().sum::<f64>() / shares.len() as f64;
    let middle = mean(&all);
    // Each part has a spread of its own: methods of sharing out may give late winners a wider one.
    let distance = |part: &Vec<f64>| {
        let middle_of_part = mean(part);
        let spread =
            part.iter().map(|share| (share - middle_of_part).powi(2)).sum::<f64>() / part.len() as f64;
        (middle_of_part - middle).powi(2) * part.len() as f64 / spread.max(1e-12)
    };
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let by_arrival = parts.iter().map(|part| Tenth {
        shares: part.len() as u64,
        min: rounded(part.iter().copied().fold(f64::INFINITY, f64::min)),
        mean: rounded(mean(part)),
        max: rounded(part.iter().copied().fold(0.0, f64::max)),
    });
    Some(Fairness { by_arrival: by_arrival.collect(), chi_square: rounded(parts.iter().map(distance).sum()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_protocol::red_packet::{State, Winner};
    use chat_protocol::{PacketId, Target, UserId};

    fn packet(amounts: &[u64]) -> DetailResponse {
        let total = amounts.iter().sum();
        let count = u32::try_from(amounts.len()).unwrap();
        let winner = |(number, amount): (u32, &u64)| Winner {
            number,
            user_id: UserId::new(&format!("u{number}")).unwrap(),
            amount: *amount,
            time: 0,
        };
        DetailResponse {
            packet_id: PacketId::new("p").unwrap(),
            from: UserId::new("a").unwrap(),
            target: Target::World,
            mode: Mode::Lucky,
            greeting: String::new(),
            state: State::Empty,
            total,
            count,
            grabbed: total,
            grabbed_count: count,
            refunded: 0,
            open: 0,
            created: 0,
            expires: 1,
            luckiest: None,
            winners: (1..).zip(amounts).map(winner).collect(),
            next: None,
        }
    }

    #[test]
    fn an_early_advantage_is_seen_and_chance_is_not() {
        let even: Vec<u64> = (0..1000).map(|n| 50 + n * 37 % 101).collect();
        let fair = of(&[packet(&even)]).unwrap();
        assert!(fair.chi_square < SUSPICIOUS, "{fair:?}");
        assert_eq!(fair.by_arrival.iter().map(|part| part.shares).sum::<u64>(), 1000);
        let falling: Vec<u64> = (0..1000).map(|n| 1100 - n + n * 37 % 101).collect();
        assert!(of(&[packet(&falling)]).unwrap().chi_square > SUSPICIOUS);
        assert_eq!(of(&[packet(&even[..50])]), None);
    }
}
