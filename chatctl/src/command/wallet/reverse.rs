//! `chatctl wallet reverse`: takes a deposit back, or gives a withdrawal back.
//!
//! Invariant: the reversal's id follows from the transfer's own, so that however often and by whomever it is asked for,
//! one transfer is reversed at most once; a wallet never goes below nothing.

use chat_client::Http;
use chat_protocol::wallet::{
    Deposit, MAX_TRANSFERS_PAGE, MovementRequest, MovementResponse, Transfer, TransferKind, Transfers,
    TransfersRequest, Withdraw,
};
use chat_protocol::{AppId, TransferId, UserId};

use super::{backwards, moved};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::money::units;
use crate::operator::Operator;

const EXAMPLES: &str = "\
A deposit is withdrawn again, a withdrawal deposited again: the same amount,
once, under the id reverse:ID. A share of a red packet is nobody's to take back.
It asks first; -y answers yes. Exit code: 6 when the wallet holds less, or the
transfer is none of these; 5 when the wallet knows no such transfer.

Examples:
  chatctl --app 101 wallet reverse 黄帝 pay-1
  chatctl --app 101 wallet reverse 黄帝 pay-1 -y -o json";

/// Arguments of `wallet reverse`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whose wallet
    #[arg(value_name = "USER")]
    user: UserId,
    /// The id of the deposit or withdrawal, as `chatctl wallet transfers` shows it
    #[arg(value_name = "ID")]
    transfer_id: TransferId,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, Args { user: user_id, transfer_id }) = (operator.settings.app()?, args);
    let id = reversal_of(&transfer_id)?;
    if operator.settings.dry_run {
        let limit = Some(MAX_TRANSFERS_PAGE);
        let look = TransfersRequest { app_id, user_id, before: None, limit };
        return operator.rehearse(&[operator.rehearsed::<Transfers>(&look)]);
    }
    let http = operator.http()?;
    let found = find(app_id, &user_id, &transfer_id, operator, &http).await?;
    let amount = found.amount.unsigned_abs();
    let is_deposit = match found.kind {
        TransferKind::Deposit => true,
        TransferKind::Withdrawal => false,
        kind => {
            return Err(Failure::Rule(format!(
                "{transfer_id} is no deposit or withdrawal: it is a {}",
                kind.as_str()
            )));
        }
    };
    let (shown, way) = (units(amount), if is_deposit { "take back from" } else { "give back to" });
    if operator.asks() {
        operator.confirm(&format!("{way} {user_id} the {shown} of {transfer_id}?")).await?;
    }
    let request = MovementRequest { app_id, user_id, amount, transfer_id: id };
    let report = |done: MovementResponse| {
        let words = match (done.duplicate, is_deposit) {
            (true, _) => format!("{transfer_id} was reversed before"),
            (false, true) => format!("{shown} of {transfer_id} taken back"),
            (false, false) => format!("{shown} of {transfer_id} given back"),
        };
        moved(&done.user_id, done.balance, done.duplicate, &words)
    };
    match is_deposit {
        true => operator.carry_out::<Withdraw>(&request, report).await,
        false => operator.carry_out::<Deposit>(&request, report).await,
    }
}

/// The id that every reversal of this transfer has.
fn reversal_of(id: &TransferId) -> Result<TransferId, Failure> {
    let named = format!("reverse:{id}");
    // A longer id has no room for the word: a digest of it has.
    let digest =
        || format!("reverse:{}", uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, id.as_str().as_bytes()));
    let made = named.parse().or_else(|_| digest().parse());
    made.map_err(|error| Failure::Undone(format!("cannot name the reversal of {id}: {error}")))
}

async fn find(
    app_id: AppId,
    user_id: &UserId,
    id: &TransferId,
    operator: &Operator,
    http: &Http,
) -> Result<Transfer, Failure> {
    let limit = Some(MAX_TRANSFERS_PAGE);
    let mut request = TransfersRequest { app_id, user_id: user_id.clone(), before: None, limit };
    loop {
        let page = operator.call::<Transfers>(http, &request).await?;
        let found = page.transfers.into_iter().find(|transfer| transfer.transfer_id == id.as_str());
        if let Some(found) = found {
            return Ok(found);
        }
        let Some(next) = page.next else {
            return Err(Failure::Missing(format!("{user_id} has no transfer {id}")));
        };
        request.before = Some(backwards(request.before, next, http)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_transfer_has_one_reversal() {
        let of = |id: &str| reversal_of(&id.parse().unwrap()).unwrap().to_string();
        assert_eq!(of("pay-1"), "reverse:pay-1");
        let (long, other) = ("x".repeat(128), "y".repeat(128));
        assert!(of(&long).len() <= 128 && of(&long) == of(&long) && of(&long) != of(&other));
    }
}
