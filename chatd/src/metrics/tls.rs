//! What is told of TLS, on a node that speaks it.

use std::fmt;

use super::page::{NONE, Page};
use crate::counters::Counters;
use crate::counters::handshakes::Failure;
use crate::tls::Keeper;

impl Page<'_> {
    /// How connections began, and how long the certificate lasts.
    pub(super) fn tls(&mut self, counters: &Counters, keeper: &Keeper) -> fmt::Result {
        let handshakes = &counters.handshakes;
        let done = "Handshakes of TLS that came to their end.";
        self.counter("chatd_tls_handshakes_total", done, handshakes.done.get())?;
        self.counters(
            "chatd_tls_handshake_failures_total",
            "Connections that did not come to speak TLS, by the cause.",
            Failure::ALL.map(|failure| ([("reason", failure.name())], handshakes.failed(failure).get())),
        )?;
        self.gauges(
            "chatd_tls_certificate_end_time_seconds",
            "When the certificate in force ends, Unix time.",
            keeper.ends_s().map(|ends_s| (NONE, ends_s)),
        )
    }
}
