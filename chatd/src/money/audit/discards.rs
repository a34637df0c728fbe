//! What operators gave up for good: all of it is kept as it was written, and nobody lost money by it.
//!
//! Invariant: a row that is gone or changed is named by its place. A letter that was given up and is owed all the same must
//! be paid by another, or be on its way by another.

use std::collections::HashMap;

use chat_protocol::{AppId, Refusal};

use super::Auditor;
use super::findings::Findings;
use super::waiting::UNNAMED_MS;
use crate::money::ledger::records::{DiscardRow, Discards};
use crate::money::settlement::Settlement;

impl Auditor {
    /// Those behind this place, at most `limit`: the place of the last one, or nothing where that was the end.
    pub(super) async fn discards(
        &self,
        app: AppId,
        after: u64,
        limit: u32,
        findings: &mut Findings,
    ) -> Result<(u32, Option<u64>), Refusal> {
        let page = self.records.discards(app, after, limit).await?;
        let last = kept(app, after, &page, findings);
        let letters: Vec<(&DiscardRow, Settlement)> =
            page.rows.iter().filter_map(|(row, _)| letter(app, row)).collect();
        self.paid_otherwise(app, &letters, findings).await?;
        let looked = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
        Ok((looked, if page.rows.is_empty() { None } else { Some(last) }))
    }

    async fn paid_otherwise(
        &self,
        app: AppId,
        letters: &[(&DiscardRow, Settlement)],
        findings: &mut Findings,
    ) -> Result<(), Refusal> {
        let asked: Vec<Settlement> = letters.iter().map(|(_, settlement)| settlement.clone()).collect();
        let owed = self.packets.owed(&asked).await?;
        let owed =
            letters.iter().zip(owed).filter(|((_, of), owed)| *owed == Some(of.amount)).map(|(of, _)| of);
        let owed: HashMap<String, &(&DiscardRow, Settlement)> =
            owed.map(|of| (of.1.transfer_id(), of)).collect();
        if owed.is_empty() {
            return Ok(());
        }
        let wanted = owed.iter().map(|(id, (_, of))| (id.clone(), of.clone())).collect();
        let waiting = self.look_for(app, &wanted).await?;
        // Whatever is settled was posted before it left its queue.
        let posted = self.posted(app, &wanted.values().collect::<Vec<_>>()).await?;
        let now_ms = self.packets.now_ms().await?;
        let mut lost: Vec<_> =
            owed.iter().filter(|(id, _)| !posted.contains(*id) && !waiting.holds(id)).collect();
        lost.sort_unstable_by_key(|(_, (row, _))| row.place);
        for (id, (row, of)) in lost {
            if waiting.is_vague() && now_ms.saturating_sub(of.time_ms) < UNNAMED_MS {
                continue;
            }
            let detail = format!(
                "letter {} was given up for good ({}), and {} has not got the {} cents it was for ({id}); replaying the \
                 packet pays them",
                row.letter, row.reason, of.user, of.amount
            );
            findings.violation(Some(&of.packet), "discard", detail);
        }
        Ok(())
    }
}

/// Every place has its row, as it was written. The place of the last.
fn kept(app: AppId, after: u64, page: &Discards, findings: &mut Findings) -> u64 {
    let mut last = after;
    for (row, digest) in &page.rows {
        let place = u64::try_from(row.place).unwrap_or_default();
        gone(last, place.saturating_sub(1), findings);
        let is_sealed = digest.as_ref() == Some(&row.digest(app));
        if !is_sealed && (digest.is_some() || row.place > page.unsealed) {
            let detail = format!("discard {place} (letter {}) is not what was written", row.letter);
            findings.violation(None, "discard", detail);
        }
        last = place;
    }
    if page.rows.is_empty() {
        let count = u64::try_from(page.count).unwrap_or_default();
        gone(last, count, findings);
        if count < last {
            let detail = format!("{last} discards are there, and {count} are counted");
            findings.violation(None, "discard", detail);
        }
    }
    last
}

/// Nothing is between these two, the last included.
fn gone(before: u64, last: u64, findings: &mut Findings) {
    if last > before {
        let detail = format!("of the discards, {} to {last} are gone", before + 1);
        findings.violation(None, "discard", detail);
    }
}

/// A letter that asks for something of this app.
fn letter(app: AppId, row: &DiscardRow) -> Option<(&DiscardRow, Settlement)> {
    let settlement: Settlement = serde_json::from_slice(&row.body).ok()?;
    (settlement.app == app).then_some((row, settlement))
}
