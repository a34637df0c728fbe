//! How far a red packet is, and where its money is.

use chat_protocol::red_packet::{DetailResponse, State};
use chat_protocol::{AppId, PacketId, Refusal};
use serde_json::json;

use super::{Explainer, Told};
use crate::clock::{Clock, SystemClock};
use crate::money::Money;

/// Winners that are named.
const WINNERS: u32 = 100;

impl Explainer {
    /// How far a packet is, and where its money is.
    ///
    /// # Errors
    /// When there is none, or a store does not answer.
    pub async fn packet(&self, money: &Money, app: AppId, packet: &PacketId) -> Result<Told, Refusal> {
        let detail = money.red_packets.detail(app, packet, None, 0, WINNERS).await?;
        let audit = money.auditor.packet(app, packet).await?;
        let mut told = Told::default();
        self.life(&detail, &mut told);
        let now = SystemClock.now_ms();
        let paid = detail.grabbed + detail.refunded;
        let (what, text) = match (audit.unsettled, paid) {
            (0, 0) => ("settled", "nothing is to be paid yet".to_owned()),
            (0, _) => ("settled", format!("all that left the packet is paid: {}", cents(paid))),
            (payments, _) => {
                let amount = cents(audit.unsettled_amount);
                (
                    "unsettled",
                    format!("{payments} payments of {amount} together are on their way to the ledger"),
                )
            }
        };
        told.events.push(self.event(now, what, text));
        for found in &audit.violations {
            told.events.push(self.event(now, "broken", format!("{}: {}", found.rule, found.detail)));
        }
        told.is("unsettled", audit.unsettled);
        told.is("unsettledAmount", audit.unsettled_amount);
        told.is("queued", audit.queued);
        told.is("deadLetters", audit.dead_letters);
        told.is("holds", audit.holds);
        told.next.push("/redPacket/detail");
        if !audit.holds {
            told.next.push("/redPacket/audit");
        }
        if audit.unsettled > 0 || audit.dead_letters > 0 {
            told.next.extend(["/redPacket/deadLetters", "/redPacket/replay"]);
        }
        Ok(told)
    }

    fn life(&self, detail: &DetailResponse, told: &mut Told) {
        let DetailResponse { from, count, target, .. } = detail;
        let place = match target.to_string() {
            world if world.is_empty() => "the world".to_owned(),
            other => other,
        };
        let shares = if *count == 1 { "share" } else { "shares" };
        let text = format!("{from} offered {} in {count} {shares} to {place}", cents(detail.total));
        told.events.push(self.event(detail.created, "offered", text));
        for winner in &detail.winners {
            let text = format!("{} took {}, number {}", winner.user_id, cents(winner.amount), winner.number);
            told.events.push(self.event(winner.time, "grabbed", text));
        }
        match detail.state {
            State::Open => {}
            State::Empty => {
                let last = detail.winners.last().map_or(detail.created, |winner| winner.time);
                told.events.push(self.event(last, "emptied", "nothing is left of it".to_owned()));
            }
            State::Expired => {
                let text =
                    format!("its time is over; {} go back to {from}", cents(detail.refunded + detail.open));
                told.events.push(self.event(detail.expires, "expired", text));
            }
        }
        told.is("state", json!(detail.state));
        told.is("total", detail.total);
        told.is("count", detail.count);
        told.is("grabbed", detail.grabbed);
        told.is("grabbedCount", detail.grabbed_count);
        told.is("refunded", detail.refunded);
        told.is("open", detail.open);
        told.is("expires", detail.expires);
    }
}

/// `10.05`.
fn cents(amount: u64) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}
