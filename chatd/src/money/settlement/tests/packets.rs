//! Packets that owe whatever is asked for, in the same weather as the queue and the ledger.

use std::sync::Arc;

use async_trait::async_trait;
use chat_protocol::{AppId, PacketId, UserId};

use super::Weather;
use crate::money::ledger::Paid;
use crate::money::packets::record::{Names, Record};
use crate::money::packets::{Closed, Grab, PacketError, Packets, Standing, Winner};
use crate::money::settlement::Settlement;
use crate::money::{Cents, Terms};

/// Owe whatever is asked for.
pub(super) struct FakePackets(pub(super) Arc<Weather>);

macro_rules! packets_not_asked {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Packets for FakePackets {
            async fn owed(&self, settlements: &[Settlement]) -> Result<Vec<Option<Cents>>, PacketError> {
                let owed = || settlements.iter().map(|settlement| Some(settlement.amount)).collect();
                self.0.pass(owed).map_err(PacketError::Unreachable)
            }

            $(async fn $name(&self, $(_: $argument),*) -> Result<$answer, PacketError> {
                unreachable!("not asked by the worker")
            })*
        }
    };
}

packets_not_asked! {
    now_ms() -> u64;
    open(&Terms, &[Cents]) -> ();
    grab(AppId, &PacketId, &UserId) -> Grab;
    close(&Terms) -> Closed;
    restore(&Terms, &[Paid]) -> bool;
    standing(AppId, &PacketId) -> Standing;
    winners(AppId, &PacketId, u32, u32) -> Vec<Winner>;
    record(AppId, &PacketId) -> Record;
    names(AppId, Option<&str>, u32) -> Names;
}
