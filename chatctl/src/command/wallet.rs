//! `chatctl wallet`: what users own, and how it came and went.
//!
//! Invariants: a deposit and a withdrawal always carry the operator's own id, so that repeating the command never pays
//! twice; one page of transfers is held at a time. `reverse` is in a file of its own.

use chat_client::{Error, Http};
use chat_protocol::wallet::{
    Balance, BalanceRequest, BalanceResponse, DEFAULT_TRANSFERS_PAGE, Deposit, MAX_DEPOSIT,
    MAX_TRANSFERS_PAGE, MovementRequest, MovementResponse, Transfer, Transfers, TransfersRequest, Withdraw,
};
use chat_protocol::{TransferId, UserId};
use clap::Subcommand;
use futures_util::{StreamExt, stream};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::money::{self, Amount, units};
use crate::operator::Operator;
use crate::report::{Cell, Report};

mod reverse;

/// Questions on their way at a time.
const AT_ONCE: usize = 16;

/// Shown below the help of the noun.
pub const EXAMPLES: &str = "\
Examples:
  chatctl --app 101 wallet balance 黄帝 马超
  chatctl --app 101 wallet deposit 黄帝 100.00 --transfer-id pay-1
  chatctl --app 101 wallet withdraw 马超 10.00 --transfer-id out-1
  chatctl --app 101 wallet reverse 黄帝 pay-1
  chatctl --app 101 wallet transfers 马超";

const BALANCE: &str = "\
Tables show 10.00, all other formats whole cents: 1000.
Exit code: 3 when only some of them could be asked.

Examples:
  chatctl --app 101 wallet balance 黄帝
  chatctl --app 101 wallet balance 黄帝 马超 -o jsonl";

const DEPOSIT: &str = "\
An AMOUNT without a dot is whole cents, with one it has exactly two digits
behind it: 1000 and 10.00 are the same. Repeating a transfer id adds nothing
again; the same id with another user or amount is refused.

Examples:
  chatctl --app 101 wallet deposit 黄帝 100.00 --transfer-id pay-1
  chatctl --app 101 wallet deposit 黄帝 10000 --transfer-id pay-1";

const WITHDRAW: &str = "\
An AMOUNT without a dot is whole cents, with one it has exactly two digits
behind it: 1000 and 10.00 are the same. Repeating a transfer id takes nothing
again; the same id with another user or amount is refused. At a terminal it asks
first. Exit code: 6 when the wallet holds less.

Examples:
  chatctl --app 101 wallet withdraw 马超 10.00 --transfer-id out-1
  chatctl --app 101 wallet withdraw 马超 1000 --transfer-id out-1";

const TRANSFERS: &str = "\
The newest first; negative when money left the wallet.

Examples:
  chatctl --app 101 wallet transfers 马超
  chatctl --app 101 wallet transfers 马超 --limit 500
  chatctl --app 101 wallet transfers 马超 --all -o csv > transfers.csv";

/// What to put in, or to take out.
#[derive(Debug, clap::Args)]
pub struct CashArgs {
    /// Whose wallet
    #[arg(value_name = "USER")]
    user: UserId,
    /// How much: whole cents, or with two digits behind a dot
    #[arg(value_name = "AMOUNT", allow_hyphen_values = true)]
    amount: Amount,
    /// Your own id for it, unique in the app
    #[arg(long, value_name = "ID")]
    transfer_id: TransferId,
}

/// Which transfers.
#[derive(Debug, clap::Args)]
#[command(after_help = TRANSFERS)]
pub struct TransfersArgs {
    /// Whose wallet
    #[arg(value_name = "USER")]
    user: UserId,
    /// Show at most so many [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only transfers with a lesser number
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// Everything there is
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// What to do with wallets.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// How much wallets hold
    #[command(after_help = BALANCE)]
    Balance {
        /// Whose wallets
        #[arg(value_name = "USER", required = true)]
        users: Vec<UserId>,
    },
    /// Put money into a wallet
    #[command(after_help = DEPOSIT)]
    Deposit(CashArgs),
    /// Take money out of a wallet
    #[command(after_help = WITHDRAW)]
    Withdraw(CashArgs),
    /// Take a deposit back, or give a withdrawal back
    Reverse(reverse::Args),
    /// What went into a wallet and out of it
    Transfers(TransfersArgs),
}

/// Runs the command.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    match verb {
        Verb::Balance { users } => balances(users, operator).await,
        Verb::Deposit(args) => deposit(args, operator).await,
        Verb::Withdraw(args) => withdraw(args, operator).await,
        Verb::Reverse(args) => reverse::run(args, operator).await,
        Verb::Transfers(args) => transfers(args, operator).await,
    }
}

async fn balances(users: Vec<UserId>, operator: &Operator) -> Result<Exit, Failure> {
    let app_id = operator.settings.app()?;
    let requests: Vec<_> = users.into_iter().map(|user_id| BalanceRequest { app_id, user_id }).collect();
    if operator.settings.dry_run {
        let rehearsed: Vec<_> = requests.iter().map(|r| operator.rehearsed::<Balance>(r)).collect();
        return operator.rehearse(&rehearsed);
    }
    let http = operator.http()?;
    let http = &http;
    let answers: Vec<(UserId, Result<BalanceResponse, Failure>)> = stream::iter(requests)
        .map(|request| async move {
            let answer = operator.call::<Balance>(http, &request).await;
            (request.user_id, answer)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (user, answer) in answers {
        match answer {
            Ok(found) => rows.push(vec![found.user_id.as_str().into(), money::cell(found.balance)]),
            Err(failure) => failures.push((user, failure)),
        }
    }
    if rows.is_empty() && !failures.is_empty() {
        return Err(failures.swap_remove(0).1);
    }
    operator.print(&Report::list(&[("userId", "USER"), ("balance", "BALANCE")], rows))?;
    for (user, failure) in &failures {
        operator.console.error(&format!("{user}: {failure}"));
    }
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Partly })
}

async fn deposit(args: CashArgs, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, amount) = (operator.settings.app()?, args.bounded(operator)?);
    let CashArgs { user: user_id, transfer_id, .. } = args;
    let request = MovementRequest { app_id, user_id, amount: amount.cents(), transfer_id };
    let report = |done: MovementResponse| {
        let words = match done.duplicate {
            true => "deposited before; nothing was added".to_owned(),
            false => format!("{amount} deposited"),
        };
        moved(&done.user_id, done.balance, done.duplicate, &words)
    };
    operator.carry_out::<Deposit>(&request, report).await
}

async fn withdraw(args: CashArgs, operator: &Operator) -> Result<Exit, Failure> {
    let (app_id, amount) = (operator.settings.app()?, args.bounded(operator)?);
    let CashArgs { user: user_id, transfer_id, .. } = args;
    let request = MovementRequest { app_id, user_id, amount: amount.cents(), transfer_id };
    let report = |done: MovementResponse| {
        let words = match done.duplicate {
            true => "withdrawn before; nothing was taken again".to_owned(),
            false => format!("{amount} withdrawn"),
        };
        moved(&done.user_id, done.balance, done.duplicate, &words)
    };
    if operator.asks_a_person() {
        operator.confirm(&format!("take {amount} from {}?", request.user_id)).await?;
    }
    operator.carry_out::<Withdraw>(&request, report).await
}

impl CashArgs {
    /// The amount, if it is not too much; the same line is recognised as it stands.
    fn bounded(&self, operator: &Operator) -> Result<Amount, Failure> {
        let amount = self.amount;
        if amount.cents() > MAX_DEPOSIT {
            return Err(Failure::usage(
                format!("{amount} is too much"),
                format!("at most {}", units(MAX_DEPOSIT)),
            ));
        }
        operator.doubt.repeatable_with(format!("--transfer-id {}", self.transfer_id));
        Ok(amount)
    }
}

fn moved(user: &UserId, balance: u64, duplicate: bool, words: &str) -> Report {
    Report::record([
        ("userId", "user", user.as_str().into()),
        ("balance", "balance", money::cell(balance)),
        ("duplicate", "duplicate", duplicate.into()),
    ])
    .in_words(vec![format!("{words}: {user} has {}", units(balance))])
}

async fn transfers(args: TransfersArgs, operator: &Operator) -> Result<Exit, Failure> {
    let wanted = if args.all { u32::MAX } else { args.limit.unwrap_or(DEFAULT_TRANSFERS_PAGE) };
    let (app_id, user_id) = (operator.settings.app()?, args.user);
    let limit = Some(wanted.min(MAX_TRANSFERS_PAGE));
    let mut request = TransfersRequest { app_id, user_id, before: args.before, limit };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Transfers>(&request)]);
    }
    let (http, mut flow) = (operator.http()?, operator.flow());
    let mut left = wanted;
    let older = loop {
        let mut page = operator.call::<Transfers>(&http, &request).await?;
        page.transfers.truncate(left as usize);
        if !operator.flows(&mut flow, listed(&page.transfers))? {
            return Ok(Exit::Done);
        }
        left = left.saturating_sub(u32::try_from(page.transfers.len()).unwrap_or(u32::MAX));
        let Some(next) = page.next.filter(|_| args.all || left > 0) else { break page.next };
        request.before = Some(backwards(request.before, next, &http)?);
        request.limit = Some(if args.all { MAX_TRANSFERS_PAGE } else { left.min(MAX_TRANSFERS_PAGE) });
    };
    operator.end(flow, &listed(&[]))?;
    match older {
        Some(number) => operator.footer(&format!("older ones: --before {number}")),
        None if left == wanted => operator.footer("no transfers"),
        None => {}
    }
    Ok(Exit::Done)
}

/// The next place to read before, which must be an earlier one: the command ends whatever the server answers.
fn backwards(before: Option<u64>, next: u64, http: &Http) -> Result<u64, Failure> {
    if before.is_none_or(|before| next < before) {
        return Ok(next);
    }
    let (server, cause) =
        (http.server().to_string(), "its list of transfers does not come to an end".to_owned());
    Err(Error::NotChatd { server, cause }.into())
}

const COLUMNS: [(&str, &str); 6] = [
    ("number", "NUMBER"),
    ("time", "TIME"),
    ("kind", "KIND"),
    ("amount", "AMOUNT"),
    ("packetId", "PACKET"),
    ("transferId", "TRANSFER"),
];

fn listed(transfers: &[Transfer]) -> Report {
    let row = |transfer: &Transfer| {
        let packet = transfer.packet_id.as_ref().map(|id| Cell::from(id.as_str()));
        vec![
            transfer.number.into(),
            Cell::moment(transfer.time),
            transfer.kind.as_str().into(),
            money::signed_cell(transfer.amount),
            packet.unwrap_or(serde_json::Value::Null.into()),
            transfer.transfer_id.as_str().into(),
        ]
    };
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(transfers).unwrap_or_default();
    Report::list(&COLUMNS, transfers.iter().map(row).collect()).exactly(exact)
}
