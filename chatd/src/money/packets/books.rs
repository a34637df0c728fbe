//! The books of one packet, and how they are mended from what the ledger paid.
//!
//! Invariant: the ledger never goes back. A store that was restored from before its last moment may have forgotten
//! who won; whoever was paid has won, and what was paid is no longer there for others.

use std::collections::HashMap;

use chat_protocol::UserId;

use super::{Paid, Terms, Winner};
use crate::money::Cents;
use crate::money::settlement::Kind;

/// Everything that changes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Books {
    /// In the order they took.
    pub winners: Vec<Winner>,
    /// What nobody took, in the order it is given out; nothing once the packet is closed.
    pub shares: Vec<Cents>,
    /// Nothing before it is closed.
    pub refunded: Option<Cents>,
}

/// What mending books comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mended {
    /// As they must be.
    pub books: Books,
    /// Who was named a winner although their share had been paid to others; nothing can be left for them.
    pub annulled: Vec<UserId>,
}

impl Books {
    /// Cents that winners have.
    pub fn grabbed(&self) -> Cents {
        self.winners.iter().map(|winner| winner.amount).sum()
    }

    /// Nothing when the books agree with what was paid. Otherwise paid winners are entered with the shares they have
    /// got; where one of these was given to somebody else meanwhile, the packet ends, and what is left goes back.
    pub fn mended(&self, terms: &Terms, paid: &[Paid]) -> Option<Mended> {
        let mut books = self.clone();
        let places = self.winners.iter().zip(0..).map(|(winner, place)| (&winner.user, place));
        let places: HashMap<&UserId, usize> = places.collect();
        let (grabs, refunds): (Vec<_>, Vec<_>) = paid.iter().partition(|paid| paid.kind == Kind::Grab);
        let back: Cents = refunds.iter().map(|paid| paid.amount).sum();
        let (mut agree, mut ended) = (true, self.refunded.is_some());
        for Paid { user, amount, time_ms, .. } in &grabs {
            match places.get(user).map(|place| &mut books.winners[*place]) {
                Some(winner) if winner.amount == *amount => continue,
                Some(winner) => {
                    books.shares.push(winner.amount);
                    winner.amount = *amount;
                }
                None => {
                    let (user, amount, time_ms) = (user.clone(), *amount, *time_ms);
                    books.winners.push(Winner { number: 0, user, amount, time_ms });
                }
            }
            agree = false;
            match books.shares.iter().position(|share| share == amount) {
                Some(place) => _ = books.shares.remove(place),
                None => ended = true,
            }
        }
        if back > self.refunded.unwrap_or_default() {
            (agree, ended) = (false, true);
        }
        if agree {
            return None;
        }
        let mut annulled = Vec::new();
        if ended {
            let paid: HashMap<&UserId, ()> = grabs.iter().map(|paid| (&paid.user, ())).collect();
            annulled = books.annul(terms, &paid, terms.total.less(back));
            books.shares.clear();
            books.refunded = Some(terms.total.less(books.grabbed()));
        }
        books.winners.iter_mut().zip(1..).for_each(|(winner, number)| winner.number = number);
        Some(Mended { books, annulled })
    }

    /// Takes the last of those who were not paid out until the others fit.
    fn annul(&mut self, terms: &Terms, paid: &HashMap<&UserId, ()>, most: Cents) -> Vec<UserId> {
        let (mut sum, mut count) = (self.grabbed(), self.winners.len());
        let mut annulled = Vec::new();
        for place in (0..self.winners.len()).rev() {
            if sum <= most && count <= terms.count as usize {
                break;
            }
            if !paid.contains_key(&self.winners[place].user) {
                let winner = self.winners.remove(place);
                sum = sum.less(winner.amount);
                count -= 1;
                annulled.push(winner.user);
            }
        }
        annulled
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::red_packet::Mode;
    use chat_protocol::{MsgId, PacketId, Target};
    use proptest::prelude::*;

    use super::*;

    fn user(number: usize) -> UserId {
        UserId::new(&format!("u{number}")).unwrap()
    }

    fn cents<const N: usize>(amounts: [i64; N]) -> [Cents; N] {
        amounts.map(Cents::new)
    }

    fn terms(shares: &[Cents]) -> Terms {
        Terms {
            app: 1,
            packet: PacketId::new("p").unwrap(),
            sender: UserId::new("s").unwrap(),
            target: Target::World,
            incarnation: None,
            total: shares.iter().sum(),
            count: u32::try_from(shares.len()).unwrap(),
            mode: Mode::Lucky,
            greeting: String::new(),
            msg_id: MsgId::new("m").unwrap(),
            created_ms: 1,
            expires_ms: 9,
        }
    }

    /// These users took the first shares, one after the other.
    fn taken(shares: &[Cents], users: &[usize]) -> Books {
        let winner = |((number, who), amount): ((u32, &usize), &Cents)| Winner {
            number,
            user: user(*who),
            amount: *amount,
            time_ms: 5,
        };
        let winners = (1..).zip(users).zip(shares).map(winner).collect();
        Books { winners, shares: shares[users.len()..].to_vec(), refunded: None }
    }

    fn paid(user: UserId, kind: Kind, cents: i64) -> Paid {
        Paid { kind, user, amount: Cents::new(cents), time_ms: 6 }
    }

    #[test]
    fn who_was_paid_is_entered_and_the_packet_goes_on() {
        let shares = cents([3, 1, 5, 2]);
        let settled = [paid(user(1), Kind::Grab, 3), paid(user(3), Kind::Grab, 5)];
        let mended = taken(&shares, &[1]).mended(&terms(&shares), &settled).unwrap();
        assert_eq!(
            (mended.books.shares, mended.books.refunded, mended.annulled),
            (cents([1, 2]).to_vec(), None, vec![])
        );
        let winners = mended.books.winners.iter().map(|of| (of.number, of.user.clone(), of.amount.get()));
        assert!(winners.eq([(1, user(1), 3), (2, user(3), 5)]));
        assert_eq!(taken(&shares, &[1, 2]).mended(&terms(&shares), &settled[..1]), None);
    }

    #[test]
    fn a_share_that_was_given_out_twice_ends_the_packet() {
        let shares = cents([3, 1, 5, 2]);
        // The second share was paid to one and then promised to another.
        let settled = [paid(user(1), Kind::Grab, 3), paid(user(2), Kind::Grab, 1)];
        let mended = taken(&shares, &[1, 9]).mended(&terms(&shares), &settled).unwrap();
        assert_eq!(
            (mended.books.refunded, mended.annulled),
            (Some(Cents::new(6)), vec![]),
            "there is enough for all"
        );
        let all = [&settled[..], &[paid(user(3), Kind::Grab, 5)]].concat();
        let mended = taken(&shares, &[1, 9, 8, 7]).mended(&terms(&shares), &all).unwrap();
        assert_eq!((mended.books.refunded, mended.annulled), (Some(Cents::new(1)), vec![user(7), user(8)]));
        let back = [paid(user(1), Kind::Grab, 3), paid(UserId::new("s").unwrap(), Kind::Refund, 8)];
        let mended = taken(&shares, &[1, 9]).mended(&terms(&shares), &back).unwrap();
        assert_eq!((mended.books.refunded, mended.annulled), (Some(Cents::new(8)), vec![user(9)]));
    }

    proptest! {
        #[test]
        fn mended_books_hold_what_was_paid_and_add_up(
            shares in proptest::collection::vec(1_i64..5, 1..9),
            lost in proptest::collection::vec((0_usize..9, any::<bool>()), 0..9),
            after in proptest::collection::vec(0_usize..9, 0..9),
            closed in any::<bool>(),
        ) {
            let shares: Vec<Cents> = shares.into_iter().map(Cents::new).collect();
            let terms = terms(&shares);
            let distinct = |users: Vec<usize>| {
                let mut seen = Vec::new();
                users.into_iter().for_each(|who| if !seen.contains(&who) { seen.push(who) });
                seen.truncate(shares.len());
                seen
            };
            // Some of those who took a share were paid before all of it was forgotten, and others came.
            let before = taken(&shares, &distinct(lost.iter().map(|(who, _)| *who).collect()));
            let is_paid = |who: &UserId| lost.iter().any(|(of, paid)| *paid && user(*of) == *who);
            let settled: Vec<Paid> = before.winners.iter().filter(|of| is_paid(&of.user))
                .map(|of| paid(of.user.clone(), Kind::Grab, of.amount.get())).collect();
            let mut books = taken(&shares, &distinct(after));
            if closed {
                books.refunded = Some(books.shares.drain(..).sum());
            }
            let mended = books.mended(&terms, &settled);
            let now = mended.as_ref().map_or(&books, |mended| &mended.books);
            for Paid { user, amount, .. } in &settled {
                let found: Vec<_> = now.winners.iter().filter(|of| of.user == *user).collect();
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(found[0].amount, *amount);
            }
            prop_assert!(now.winners.len() <= shares.len());
            let all = now.shares.iter().copied().chain([now.grabbed()]).chain(now.refunded);
            prop_assert_eq!(all.sum::<Cents>(), terms.total);
            prop_assert_eq!(now.mended(&terms, &settled), None);
            if now.refunded.is_none() {
                prop_assert_eq!(now.winners.len() + now.shares.len(), shares.len());
            }
        }
    }
}
