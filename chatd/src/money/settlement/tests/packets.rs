//! Packets that owe whatever is asked for, in the same weather as the queue and the ledger.

use std::sync::Arc;

use async_trait::async_trait;

use super::Weather;
use crate::money::ledger::Paid;
use crate::money::packets::{Debts, PacketError};
use crate::money::settlement::Settlement;
use crate::money::{Cents, Terms};

/// Owe whatever is asked for.
pub(super) struct FakePackets(pub(super) Arc<Weather>);

#[async_trait]
impl Debts for FakePackets {
    async fn owed(&self, settlements: &[Settlement]) -> Result<Vec<Option<Cents>>, PacketError> {
        let owed = || settlements.iter().map(|settlement| Some(settlement.amount)).collect();
        self.0.pass(owed).map_err(PacketError::Unreachable)
    }

    /// They forget nothing.
    async fn restore(&self, _: &Terms, _: &[Paid]) -> Result<bool, PacketError> {
        Ok(false)
    }
}
