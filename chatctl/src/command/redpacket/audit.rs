//! `chatctl redpacket audit`: the proof that no cent is lost, or what is wrong.
//!
//! Invariant: a proof that does not hold ends with the exit code of a broken rule and names the packets on stderr,
//! whatever the format.

use std::collections::BTreeMap;

use chat_protocol::PacketId;
use chat_protocol::red_packet::{Audit, AuditRequest, AuditResponse, Violation};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::money;
use crate::operator::Operator;
use crate::output::Format;
use crate::report::{Cell, Report};

const EXAMPLES: &str = "\
Looks at every packet of the app, or at one, and at the ledger. Shares on their
way to the ledger (unsettled) break no rule.
Exit code: 0 when every rule holds, 6 when one is broken; stderr names the packets
and their broken rules, and -o name prints only the packets.

Examples:
  chatctl --app 101 redpacket audit
  chatctl --app 101 redpacket audit PACKET
  chatctl --app 101 redpacket audit -q -o json | jq .violations";

/// Arguments of `redpacket audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this packet
    #[arg(value_name = "PACKET")]
    packet: Option<PacketId>,
}

/// Runs the command.
pub async fn run(args: Args, operator: &Operator) -> Result<Exit, Failure> {
    let request = AuditRequest { app_id: operator.settings.app()?, packet_id: args.packet };
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Audit>(&request)]);
    }
    let found = operator.call::<Audit>(&operator.http()?, &request).await?;
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

fn sums(found: &AuditResponse) -> Report {
    // Plain data with text keys: there is nothing in it that JSON cannot hold.
    let exact = serde_json::to_value(found).unwrap_or_default();
    Report::record([
        ("holds", "holds", found.holds.into()),
        ("packets", "packets", found.packets.into()),
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
