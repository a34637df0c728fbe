//! Parts of a result in sentences for a person.

use crate::model::{Chaos, Drift, Pages, RedPackets};
use crate::units::{count_text, micros_text};

/// What a time is called.
#[must_use]
pub fn said(name: &str) -> &str {
    match name {
        "connect_time" => "connect",
        "login_time" => "log-in",
        "ack_time" => "answer",
        "e2e_time" => "response",
        "service_time" => "service (from sent)",
        "send_lag_time" => "send lag (due to sent)",
        "fanout_first_time" => "first delivery",
        "fanout_median_time" => "median delivery",
        "fanout_time" => "last delivery",
        "fanout_skew_time" => "skew (first to last)",
        "recovery_time" => "recovery",
        "back_time" => "all back",
        "page_time" => "page",
        "grab_won_time" => "winning grab",
        "grab_already_time" => "repeated grab",
        "grab_empty_time" => "late grab (nothing left)",
        "settlement_time" => "settlement",
        other => other,
    }
}

/// Trouble on purpose.
#[must_use]
pub fn chaos(chaos: &Chaos) -> Vec<String> {
    let mut lines = vec![format!(
        "{} cuts, {} reconnects, {} messages recovered, {} gaps",
        count_text(chaos.cuts),
        count_text(chaos.reconnects),
        count_text(chaos.recovered),
        count_text(chaos.gaps)
    )];
    for (cause, count) in &chaos.failed_attempts {
        lines.push(format!("{} attempts failed: {cause}", count_text(*count)));
    }
    if let Some(slow) = &chaos.slow_readers {
        let closed = slow.closed.iter().map(|(code, count)| format!(", code {code}: {count}"));
        lines.push(format!(
            "{} slow readers: {} kept{}",
            slow.clients,
            slow.kept,
            closed.collect::<String>()
        ));
    }
    lines
}

/// What the pages of a history held.
#[must_use]
pub fn pages(pages: &Pages) -> String {
    format!(
        "{} readers, {} pages, {} messages, {} ways back and {} forth, {} holes, {} repeats",
        pages.readers,
        count_text(pages.pages),
        count_text(pages.messages),
        count_text(pages.walks_backward),
        count_text(pages.walks_forward),
        count_text(pages.holes),
        count_text(pages.repeats)
    )
}

/// Where the cents are.
#[must_use]
pub fn red_packets(packets: &RedPackets) -> Vec<String> {
    let n = count_text;
    let known = |count: Option<u64>| count.map_or("?".to_owned(), n);
    let ms = |ms: f64| micros_text((ms * 1e3) as u64);
    let mut lines = vec![
        format!(
            "{} packets of {} shares, {} cents: {} taken, {} given back, {} open",
            n(u64::from(packets.packets)),
            n(u64::from(packets.shares_each)),
            n(packets.total_cents),
            known(packets.grabbed_cents),
            known(packets.refunded_cents),
            known(packets.open_cents)
        ),
        format!(
            "{} grabs: {} won, {} already, {} empty, {} expired, {} without an answer (repeated), {} given up",
            n(packets.grabs),
            n(packets.won),
            n(packets.already),
            n(packets.empty),
            n(packets.expired),
            n(packets.unanswered),
            n(packets.given_up)
        ),
        format!(
            "last win after {}, last answer after {}, {:.1} answers/s, settled {} later",
            packets.to_last_win_ms.map_or("-".to_owned(), ms),
            ms(packets.to_last_answer_ms),
            packets.answered_per_s,
            match packets.discrepancies {
                Some(_) => packets.drain_ms.map_or("not in time, or much".to_owned(), ms),
                None => "not known to be, or".to_owned(),
            }
        ),
    ];
    if packets.cuts + packets.reconnects > 0 {
        lines.push(format!("{} cuts, {} ways back", n(packets.cuts), n(packets.reconnects)));
    }
    if let Some(fairness) = &packets.fairness {
        let means = fairness.by_arrival.iter().map(|tenth| format!("{:.2}", tenth.mean)).collect::<Vec<_>>();
        lines.push(format!(
            "mean share by arrival, in tenths: {} (chi-square {:.1}, 9 expected)",
            means.join(" "),
            fairness.chi_square
        ));
    }
    lines.push(match packets.discrepancies {
        Some(count) => format!("{} discrepancies", n(count)),
        None => "not compared with the server's books".to_owned(),
    });
    lines
}

/// What grew.
#[must_use]
pub fn drift(drift: &Drift) -> String {
    let per_hour = |value: Option<f64>| value.map_or("unknown".to_owned(), |kib| format!("{kib:+.0} KiB/h"));
    let us = |value: Option<u64>| value.map_or("unknown".to_owned(), micros_text);
    format!(
        "server memory {}, generator {}, response p99 {} in the first quarter, {} in the last",
        per_hour(drift.server_rss_kib_per_hour),
        per_hour(drift.generator_rss_kib_per_hour),
        us(drift.response_p99_first_quarter_us),
        us(drift.response_p99_last_quarter_us)
    )
}
