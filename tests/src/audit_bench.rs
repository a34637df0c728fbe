//! Packets that are sound until they are tampered with, and what the audit says of them.
//!
//! Invariant: each packet is tampered with once, and every broken rule the audit of the app names was expected.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_client::Http;
use chat_protocol::red_packet::{Audit, AuditRequest, AuditResponse};
use chat_protocol::{AppId, PacketId};

use crate::fault_site::FaultSite;
use crate::money_books::{Books, detail};
use crate::money_site::{audit_pages, deposit};
use crate::program;

/// The app of the bench.
pub const APP: AppId = 861;

/// A node with packets, to be tampered with.
pub struct Bench {
    /// Where the packets are.
    pub site: FaultSite,
    /// A client of its first node.
    pub http: Http,
    books: Arc<Books>,
    packets: Vec<PacketId>,
    wanted: BTreeSet<(String, String)>,
}

impl Bench {
    /// So many packets of 30.00 in ten shares, of which four are taken.
    ///
    /// # Panics
    /// When they are not sound.
    pub async fn new(site: FaultSite, count: u32) -> Self {
        let http = site.http(0);
        deposit(&http, APP, "s", 1_000_000).await;
        let books = Books::new(APP, site.ways());
        let mut packets = Vec::new();
        for number in 0..count {
            packets.push(books.create("s", 3000, 10, &format!("p{number}")).await);
        }
        books.crowd(&packets, 4).await.expect("no panic");
        books.agree(&http).await;
        Self { site, http, books, packets, wanted: BTreeSet::new() }
    }

    /// A packet nobody has tampered with.
    ///
    /// # Panics
    /// When there is none any more.
    pub fn take(&mut self) -> PacketId {
        self.packets.pop().expect("one more packet")
    }

    /// Packets nobody has tampered with.
    #[must_use]
    pub fn sound(&self) -> &[PacketId] {
        &self.packets
    }

    /// Who took the first share, and their cents.
    pub async fn first(&self, packet: &PacketId) -> (String, u64) {
        let winners = detail(&self.http, APP, packet).await.winners;
        (winners[0].user_id.to_string(), winners[0].amount)
    }

    /// What the audit says of a packet.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub async fn audit_of(&self, packet: &PacketId) -> AuditResponse {
        let request = AuditRequest::packet(APP, packet.clone());
        self.http.call::<Audit>(&request).await.expect("an audit")
    }

    /// Exactly these rules of the packet are broken.
    ///
    /// # Panics
    /// When others are.
    pub async fn finds(&mut self, what: &str, packet: &PacketId, rules: &[&str]) {
        let found = self.audit_of(packet).await;
        let named: BTreeSet<_> = found.violations.iter().map(|violation| violation.rule.as_str()).collect();
        assert_eq!(named, rules.iter().copied().collect(), "{what}: {found:#?}");
        assert!(found.violations.iter().all(|violation| violation.packet_id.as_ref() == Some(packet)));
        assert!(!found.holds && found.violation_count >= rules.len() as u64);
        rules.iter().for_each(|rule| self.expect(packet.as_str(), rule));
    }

    /// The audit of the app finds this besides; of no packet when it is empty.
    pub fn expect(&mut self, packet: &str, rule: &str) {
        self.wanted.insert((packet.to_owned(), rule.to_owned()));
    }

    /// The audit of the app finds everything that was found packet by packet and what was expected besides, in whatever
    /// pages; the packets that are left are sound; and chatctl tells all this and ends with 6.
    ///
    /// # Panics
    /// When it is otherwise.
    pub async fn finds_all(self) {
        let rules = |found: &AuditResponse| -> BTreeSet<(String, String)> {
            let packet = |id: &Option<PacketId>| id.as_ref().map(ToString::to_string).unwrap_or_default();
            found.violations.iter().map(|of| (packet(&of.packet_id), of.rule.clone())).collect()
        };
        let whole = audit_pages(&self.http, APP, None).await.expect("an audit");
        assert_eq!(rules(&whole), self.wanted, "{whole:#?}");
        let in_pages = audit_pages(&self.http, APP, Some(7)).await.expect("an audit");
        assert_eq!(rules(&in_pages), self.wanted);
        assert_eq!(
            (in_pages.packets, in_pages.transfers, in_pages.accounts, in_pages.violation_count),
            (whole.packets, whole.transfers, whole.accounts, whole.violation_count)
        );
        let (server, app) = (self.http.server().to_string(), APP.to_string());
        let variables = [("CHATCTL_SERVER", server.as_str()), ("CHATCTL_APP", app.as_str())];
        let ended = program::run("chatctl", &["redpacket", "audit", "-o", "name"], &variables).await;
        assert_eq!(ended.code, Some(6), "{ended:?}");
        for (packet, rule) in self.wanted.iter().filter(|(packet, _)| !packet.is_empty()) {
            let line = ended.stderr.split("; ").find(|part| part.contains(packet.as_str()));
            assert!(line.is_some_and(|line| line.contains(rule.as_str())), "{packet} {rule}: {ended:?}");
            assert!(ended.stdout.contains(packet.as_str()), "{ended:?}");
        }
        for packet in &self.packets {
            let sound = self.audit_of(packet).await;
            assert!(sound.holds, "{sound:#?}");
            let ended = program::run("chatctl", &["redpacket", "audit", packet.as_str()], &variables).await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        drop((self.site, self.books));
    }
}
