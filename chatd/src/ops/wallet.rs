//! Operations on wallets: checks the parameters; the ledger does the rest.

use std::sync::Arc;

use chat_protocol::Refusal;
use chat_protocol::wallet::{
    Balance, BalanceRequest, BalanceResponse, DEFAULT_TRANSFERS_PAGE, Deposit, MovementRequest,
    MovementResponse, Transfers, TransfersRequest, TransfersResponse, Withdraw,
};
use futures_util::FutureExt;

use super::Table;
use super::red_packet::{cents, present};
use crate::money::Money;
use crate::money::ledger::{Cashed, Posted};

/// What the operations need; nothing without a ledger.
pub struct WalletOps {
    money: Option<Arc<Money>>,
}

impl WalletOps {
    /// Operations on this money.
    #[must_use]
    pub fn new(money: Option<Arc<Money>>) -> Self {
        Self { money }
    }

    async fn balance(&self, request: BalanceRequest) -> Result<BalanceResponse, Refusal> {
        let BalanceRequest { app_id, user_id } = request;
        let balance = present(self.money.as_ref())?.wallets.balance(app_id, &user_id).await?;
        Ok(BalanceResponse { user_id, balance: balance.unsigned() })
    }

    async fn transfers(&self, request: TransfersRequest) -> Result<TransfersResponse, Refusal> {
        let limit = request.limit.unwrap_or(DEFAULT_TRANSFERS_PAGE);
        let before = request.before.unwrap_or(u64::MAX);
        let wallets = &present(self.money.as_ref())?.wallets;
        // One more than asked for tells whether there is a next page.
        let mut transfers = wallets.transfers(request.app_id, &request.user_id, before, limit + 1).await?;
        let more = transfers.len() > limit as usize;
        transfers.truncate(limit as usize);
        let next = transfers.last().filter(|_| more).map(|transfer| transfer.number);
        Ok(TransfersResponse { transfers, next })
    }

    async fn deposit(&self, request: MovementRequest) -> Result<MovementResponse, Refusal> {
        let MovementRequest { app_id, user_id, amount, transfer_id } = request;
        let wallets = &present(self.money.as_ref())?.wallets;
        let amount = cents("amount", amount)?;
        let Cashed { posted, balance } = wallets.deposit(app_id, &user_id, amount, &transfer_id).await?;
        Ok(MovementResponse { user_id, balance: balance.unsigned(), duplicate: posted == Posted::Before })
    }

    async fn withdraw(&self, request: MovementRequest) -> Result<MovementResponse, Refusal> {
        let MovementRequest { app_id, user_id, amount, transfer_id } = request;
        let wallets = &present(self.money.as_ref())?.wallets;
        let amount = cents("amount", amount)?;
        let Cashed { posted, balance } = wallets.withdraw(app_id, &user_id, amount, &transfer_id).await?;
        Ok(MovementResponse { user_id, balance: balance.unsigned(), duplicate: posted == Posted::Before })
    }
}

/// Puts the operations into the table.
pub fn bind(table: &mut Table, ops: &Arc<WalletOps>) {
    table.bind::<Balance, _>(ops, |ops, _, request| ops.balance(request).boxed());
    table.bind::<Transfers, _>(ops, |ops, _, request| ops.transfers(request).boxed());
    table.bind::<Deposit, _>(ops, |ops, _, request| ops.deposit(request).boxed());
    table.bind::<Withdraw, _>(ops, |ops, _, request| ops.withdraw(request).boxed());
}
