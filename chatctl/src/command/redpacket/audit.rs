//! `chatctl redpacket audit`: the proof that no cent is lost, or what is wrong.
//!
//! Invariants: a proof that does not hold ends with the exit code of a broken rule and names the packets on stderr,
//! whatever the format; the cursor changes with every page, so that the command ends whatever the server answers.

use std::collections::BTreeMap;

use chat_client::{Error, Http};
use chat_protocol::red_packet::{Audit, AuditRequest, AuditResponse, Violation};
use chat_protocol::{PacketId, Span};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::money;
use crate::operator::Operator;
use crate::output::Format;
use crate::plural::counted;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
Looks at every packet of the app, at every transfer and at every account, page
by page, or at one packet. Shares on their way to the ledger (unsettled) break
no rule. With --since only packets created and transfers made since then are
looked at, and no balances of wallets. Exit code: 0 when every rule holds, 6
when one is broken; stderr names the packets and their broken rules, and -o name
prints only the packets.

Examples:
  chatctl --app 101 redpacket audit
  chatctl --app 101 redpacket audit PACKET
  chatctl --app 101 redpacket audit --since 2h
  chatctl --app 101 redpacket audit -q -o json | jq .violations";

/// Arguments of `redpacket audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this packet
    #[arg(value_name = "PACKET")]
    packet: Option<PacketId>,
    /// Only what is younger, for example 90m or 2h
    #[arg(long, value_name = "AGE", conflicts_with = "packet")]
    since: Option<Span>,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    if args.since.is_some_and(Span::is_zero) {
        return Err(Failure::usage(
            "nothing is younger than 0s",
            "give for example --since 2h, or leave it out",
        ));
    }
    let since = args.since.map(|age| (operator.clock)().saturating_sub(age.millis()));
    let request =
        AuditRequest { packet_id: args.packet, since, ..AuditRequest::all(operator.settings.app()?) };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Audit>(&request)]);
    }
    let found = all_pages(request, operator, &operator.http()?).await?;
    match operator.settings.format {
        Format::Name => operator.print(&broken(&found.violations))?,
        Format::Table => {
            operator.print(&sums(&found))?;
            if !found.violations.is_empty() {
                operator.console.data("\n")?;
                operator.print(&broken(&found.violations))?;
            }
        }
        _ => operator.print(&sums(&found))?,
    }
    // A server that counts broken rules and still says that all hold is not believed.
    if found.holds && found.violation_count == 0 && found.violations.is_empty() {
        return Ok(Exit::Done);
    }
    operator.console.error(&accusation(&found));
    Ok(Exit::RuleBroken)
}

async fn all_pages(
    mut request: AuditRequest,
    operator: &Operator,
    http: &Http,
) -> Result<AuditResponse, Failure> {
    let mut found = operator.call::<Audit>(http, &request).await?;
    while let Some(cursor) = found.cursor.take() {
        if request.cursor.as_ref() == Some(&cursor) {
            let cause = "its audit does not come to an end".to_owned();
            return Err(Error::NotChatd { server: http.server().to_string(), cause }.into());
        }
        operator.console.note(&format!(
            "looked at {}, {} and {}; broken rules so far: {}",
            counted(found.packets, "packet"),
            counted(found.transfers, "transfer"),
            counted(found.accounts, "account"),
            found.violation_count
        ));
        // The cursor knows since when.
        request = AuditRequest { since: None, cursor: Some(cursor), ..request };
        found.add(operator.call::<Audit>(http, &request).await?);
    }
    Ok(found)
}

fn sums(found: &AuditResponse) -> Report {
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(found).unwrap_or_default();
    Report::record([
        ("holds", "holds", found.holds.into()),
        ("packets", "packets", found.packets.into()),
        ("transfers", "transfers", found.transfers.into()),
        ("accounts", "accounts", found.accounts.into()),
        ("total", "put in", money::cell(found.total)),
        ("grabbed", "taken", money::cell(found.grabbed)),
        ("refunded", "given back", money::cell(found.refunded)),
        ("open", "open", money::cell(found.open)),
        ("unsettled", "on their way", found.unsettled.into()),
        ("unsettledAmount", "amount of them", money::cell(found.unsettled_amount)),
        ("queued", "queued", found.queued.into()),
        ("deadLetters", "dead letters", found.dead_letters.into()),
        ("ledgerSum", "ledger sum", money::signed_cell(found.ledger_sum)),
        ("violationCount", "broken rules", found.violation_count.into()),
    ])
    .exactly(exact)
}

fn broken(violations: &[Violation]) -> Report {
    let row = |found: &Violation| {
        let packet =
            found.packet_id.as_ref().map_or(Cell::from(serde_json::Value::Null), |id| id.as_str().into());
        vec![packet, found.rule.as_str().into(), found.detail.as_str().into()]
    };
    let rows = violations.iter().map(row).collect();
    Report::list(&[("packetId", "PACKET"), ("rule", "RULE"), ("detail", "FOUND")], rows)
}

/// Each packet once, with all its rules.
fn accusation(found: &AuditResponse) -> String {
    let mut rules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for violation in &found.violations {
        let of = rules.entry(violation.packet_id.as_ref().map_or("ledger", PacketId::as_str)).or_default();
        if !of.contains(&violation.rule.as_str()) {
            of.push(&violation.rule);
        }
    }
    let named: Vec<_> =
        rules.iter().map(|(packet, rules)| format!("{packet} ({})", rules.join(", "))).collect();
    let count = found.violation_count.max(found.violations.len() as u64);
    let words = if count == 1 { "1 rule is broken".to_owned() } else { format!("{count} rules are broken") };
    match named.is_empty() {
        true => format!("the audit does not hold: {words}"),
        false => format!("the audit does not hold: {words}: {}", named.join("; ")),
    }
}
