//! The list of an app's packets, for operators.
//!
//! Invariant: one call looks at a bounded number of packets, however few of them it is asked for.

use std::sync::Arc;

use chat_protocol::red_packet::{ListResponse, Listed, State};
use chat_protocol::{AppId, Refusal};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::ledger::records::{PacketRow, Place, Records};
use super::packets::{PacketError, Packets, Snapshot};
use super::{Cents, Terms};

/// Packets that one call looks at, at most.
const MAX_LOOKS: u32 = 1000;
/// Packets that are read at the same time.
const AT_ONCE: usize = 32;

/// Lists packets with how they stand.
pub struct Register {
    packets: Arc<dyn Packets>,
    records: Arc<dyn Records>,
}

impl Register {
    /// Of the packets that these records have.
    #[must_use]
    pub fn new(packets: Arc<dyn Packets>, records: Arc<dyn Records>) -> Self {
        Self { packets, records }
    }

    /// At most `limit` packets before `before`, the newest first; only those that stand so, if a state is given.
    ///
    /// # Errors
    /// When a store does not answer. A packet that cannot be read is the audit's.
    pub async fn list(
        &self,
        app: AppId,
        state: Option<State>,
        mut before: Option<Place>,
        limit: u32,
    ) -> Result<ListResponse, Refusal> {
        let (mut found, mut left) = (Vec::new(), MAX_LOOKS);
        loop {
            let part = left.min(limit);
            let rows = self.records.latest(app, before.as_ref(), part).await?;
            let is_last = rows.len() < part as usize;
            let listed = rows.into_iter().map(|row| async move {
                let listed = self.listed(app, &row).await?;
                Ok::<_, Refusal>((row.place(), listed))
            });
            let listed: Vec<_> = stream::iter(listed).buffered(AT_ONCE).try_collect().await?;
            for (place, packet) in listed {
                before = Some(place);
                found.extend(packet.filter(|packet| state.is_none() || packet.state == state));
                if found.len() == limit as usize {
                    break;
                }
            }
            left -= part;
            let is_full = found.len() == limit as usize;
            if is_last && !is_full {
                return Ok(ListResponse { packets: found, cursor: None });
            }
            if is_full || left == 0 {
                return Ok(ListResponse { packets: found, cursor: before.map(|place| place.to_string()) });
            }
        }
    }

    async fn listed(&self, app: AppId, row: &PacketRow) -> Result<Option<Listed>, Refusal> {
        let Ok(terms) = serde_json::from_str::<Terms>(&row.terms) else { return Ok(None) };
        let snapshot = match self.packets.snapshot(app, &terms.packet).await {
            Ok(snapshot) => Some(snapshot),
            Err(PacketError::NoSuchPacket | PacketError::Corrupt(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let sum =
            |of: fn(&Snapshot) -> Cents| snapshot.as_ref().map_or(0, |snapshot| of(snapshot).unsigned());
        Ok(Some(Listed {
            state: snapshot.as_ref().map(|snapshot| snapshot.state),
            grabbed: sum(|snapshot| snapshot.grabbed),
            grabbed_count: snapshot.as_ref().map_or(0, |snapshot| snapshot.grabbed_count),
            refunded: sum(|snapshot| snapshot.refunded),
            packet_id: terms.packet,
            from: terms.sender,
            target: terms.target,
            mode: terms.mode,
            total: terms.total.unsigned(),
            count: terms.count,
            created: terms.created_ms,
            expires: terms.expires_ms,
        }))
    }
}
