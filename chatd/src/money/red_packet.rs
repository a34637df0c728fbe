//! Red packets: created, grabbed, looked at.
//!
//! Invariant: creating goes through its steps in one order — fund, open, offer — and each can be repeated. Once the
//! money has left the sender's wallet, somebody finishes the rest: this call, its repeat, or [`super::sweeper`].

mod naming;
mod showing;

use std::sync::Arc;

use chat_protocol::content::Content;
use chat_protocol::red_packet::{GrabResponse, Mode, Outcome, State};
use chat_protocol::{AppId, Code, GroupId, MsgId, PacketId, Refusal, Target, UserId};
use uuid::Uuid;

use self::naming::Names;
use super::ledger::{Agenda, Archive, Escrow, Escrows, Funded, LedgerError};
use super::packets::{Grab, PacketError, Packets};
use super::settlement::Kind;
use super::split::{Method, split};
use super::{Allowance, Cents, Terms};
use crate::broker::{Bus, Log, REPEAT_WINDOW_MS, Range};
use crate::chat::{Chat, Sent};
use crate::groups::{Dismissed, GroupError, Groups};
use crate::model::{Conversation, Identity, Skip, members};

/// Dismissed groups in one go.
const DISMISSED: usize = 200;

/// What a sender wants to give.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Who gives, in which world.
    pub sender: Identity,
    /// To whom.
    pub target: Target,
    /// Cents.
    pub total: Cents,
    /// Shares.
    pub count: u32,
    /// How the total becomes shares.
    pub mode: Mode,
    /// Text that goes with it.
    pub greeting: String,
    /// The sender's id for it.
    pub msg_id: MsgId,
}

/// A packet that is offered.
#[derive(Debug, Clone)]
pub struct Offered {
    /// What it is.
    pub terms: Terms,
    /// The message that offers it.
    pub sent: Sent,
    /// Whether it was created before.
    pub duplicate: bool,
}

/// Creates packets, and gives their shares out.
pub struct RedPackets {
    packets: Arc<dyn Packets>,
    escrows: Arc<dyn Escrows>,
    agenda: Arc<dyn Agenda>,
    chat: Arc<Chat>,
    log: Arc<dyn Log>,
    bus: Arc<dyn Bus>,
    groups: Arc<dyn Groups>,
    names: Names,
    policy: Policy,
    allowance: Option<Arc<dyn Allowance>>,
}

/// What red packets stand on.
pub struct Ports {
    /// What people take from.
    pub packets: Arc<dyn Packets>,
    /// Where the money lies until then.
    pub escrows: Arc<dyn Escrows>,
    /// Who has to be looked at when.
    pub agenda: Arc<dyn Agenda>,
    /// Has the secret that names are made with.
    pub archive: Arc<dyn Archive>,
    /// Sends the message that offers a packet.
    pub chat: Arc<Chat>,
    /// Where that message is looked for.
    pub log: Arc<dyn Log>,
    /// Tells that a packet is finished.
    pub bus: Arc<dyn Bus>,
    /// Whose packets are for their members.
    pub groups: Arc<dyn Groups>,
}

/// How packets are made.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How lucky shares are drawn.
    pub method: Method,
    /// After how long what is left of a packet goes back, in milliseconds.
    pub expiry_ms: u64,
}

impl RedPackets {
    /// Red packets over these ports.
    #[must_use]
    pub fn new(ports: Ports, policy: Policy) -> Self {
        let Ports { packets, escrows, agenda, archive, chat, log, bus, groups } = ports;
        let names = Names::new(escrows.clone(), archive);
        Self { packets, escrows, agenda, chat, log, bus, groups, names, policy, allowance: None }
    }

    /// The same, with no more open packets of a user than this says.
    #[must_use]
    pub fn within(self, allowance: Arc<dyn Allowance>) -> Self {
        Self { allowance: Some(allowance), ..self }
    }

    /// Funds, opens and offers a packet whose numbers are checked.
    ///
    /// # Errors
    /// Of the ports; [`Code::RefusedByRule`] when the `msg_id` was used for something else.
    pub async fn create(&self, offer: Offer) -> Result<Offered, Refusal> {
        let (incarnation, refused) = match self.admit(&offer).await {
            Ok(incarnation) => (incarnation, None),
            Err(refusal) => (None, Some(refusal)),
        };
        let terms = self.terms(&offer, incarnation).await?;
        let repeat = match refused {
            None => None,
            // Who may not create one any more may still ask what became of theirs.
            Some(refusal) => Some(self.escrows.escrow(terms.app, &terms.packet).await.map_err(|_| refusal)?),
        };
        let first = match repeat {
            Some(first) => first,
            None => match self.fund(&terms).await? {
                Funded::Now => {
                    let escrow = Escrow { balance: terms.total, terms, announced: false };
                    let sent = self.finish(&escrow).await?;
                    return Ok(Offered { terms: escrow.terms, sent, duplicate: false });
                }
                Funded::Before(_) => self.escrows.escrow(terms.app, &terms.packet).await?,
            },
        };
        let asked = |terms: &Terms| {
            (terms.target.clone(), terms.total, terms.count, terms.mode, terms.greeting.clone())
        };
        let is_of_another = first.terms.incarnation.is_some()
            && terms.incarnation.is_some()
            && first.terms.incarnation != terms.incarnation;
        if asked(&first.terms) != asked(&terms) || is_of_another {
            return Err(used("the msgId was used for another red packet"));
        }
        if terms.created_ms.saturating_sub(first.terms.created_ms) >= REPEAT_WINDOW_MS {
            // The log knows the message no more and would take it for a new one.
            let packet = &first.terms.packet;
            return Err(used(&format!("red packet {packet} has this msgId; a new one needs a new msgId")));
        }
        let sent = self.finish(&first).await?;
        Ok(Offered { terms: first.terms, sent, duplicate: true })
    }

    /// Funds a packet, unless as many of its sender are open as may be.
    async fn fund(&self, terms: &Terms) -> Result<Funded, Refusal> {
        let Some(allowance) = &self.allowance else { return Ok(self.escrows.fund(terms).await?) };
        self.escrows.fund_within(terms, allowance.most_open()).await.map_err(|error| match error {
            LedgerError::TooManyOpen(open) => allowance.too_many_open(open),
            error => error.into(),
        })
    }

    async fn terms(&self, offer: &Offer, incarnation: Option<String>) -> Result<Terms, Refusal> {
        let Offer { sender, target, total, count, mode, greeting, msg_id } = offer.clone();
        let created_ms = self.packets.now_ms().await?;
        let packet = self.names.of(&sender, &msg_id, created_ms).await?;
        let expires_ms = created_ms.saturating_add(self.policy.expiry_ms);
        let Identity { app, user: sender } = sender;
        Ok(Terms {
            app,
            packet,
            sender,
            target,
            incarnation,
            total,
            count,
            mode,
            greeting,
            msg_id,
            created_ms,
            expires_ms,
        })
    }

    /// Asks before money moves what the log will ask again when the message comes. Which group it is, if it is one.
    async fn admit(&self, offer: &Offer) -> Result<Option<String>, Refusal> {
        let Identity { app, user } = &offer.sender;
        match &offer.target {
            Target::Group(group) => {
                let membership = self.groups.membership(*app, group, user).await?;
                if !membership.member {
                    return Err(GroupError::NotMember.into());
                }
                Ok(Some(membership.incarnation.to_string()))
            }
            Target::User(other) if other == user => {
                Err(Refusal::new(Code::RefusedByRule, "a red packet is for others"))
            }
            Target::World | Target::User(_) => Ok(None),
        }
    }

    /// Whether the group that the packet was offered to is gone, so that nobody can take from it.
    ///
    /// # Errors
    /// When the groups do not answer.
    pub async fn is_orphan(&self, terms: &Terms) -> Result<bool, Refusal> {
        let Target::Group(group) = &terms.target else { return Ok(false) };
        match self.groups.membership(terms.app, group, &terms.sender).await {
            Ok(membership) => Ok(!terms.is_of(&membership)),
            Err(GroupError::NoSuchGroup) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The packets of a group that was just dismissed are looked at now, not at their end.
    pub async fn dismissed(&self, app: AppId, group: &GroupId) {
        if let Err(error) = self.agenda.hasten(app, &Target::Group(group.clone())).await {
            tracing::warn!(app, %group, %error, "red packets of a dismissed group go back at their end only");
        }
    }

    /// The same for groups that any node dismissed, with a ledger or without.
    ///
    /// # Errors
    /// Of the ports; what was not looked at is the next time.
    pub async fn hasten_dismissed(&self) -> Result<(), Refusal> {
        let dismissed = self.groups.dismissed(DISMISSED).await?;
        for Dismissed { app, group, .. } in &dismissed {
            self.agenda.hasten(*app, &Target::Group(group.clone())).await?;
        }
        if !dismissed.is_empty() {
            self.groups.looked_after(&dismissed).await?;
        }
        Ok(())
    }

    /// Brings the creation of a packet that is funded to its end, or tells how it ended.
    ///
    /// # Errors
    /// Of the ports, and the refusal of the conversation; then the money goes back.
    pub async fn finish(&self, escrow: &Escrow) -> Result<Sent, Refusal> {
        let terms = &escrow.terms;
        if self.is_orphan(terms).await? {
            self.packets.close(terms).await?;
            return Err(used("the group of this red packet is gone; what nobody took goes back"));
        }
        if escrow.announced || self.was_taken(escrow).await? {
            // Whoever took from it was perhaps paid by now: were it forgotten, it must not be opened again.
            let sent = self.offer(terms).await?;
            if !escrow.announced {
                self.announced(terms).await;
            }
            return Ok(sent);
        }
        let gone = used("the money of this red packet went back; a new one needs a new msgId");
        if escrow.balance < terms.total {
            return Err(gone);
        }
        let shares = split(terms.total, terms.count, terms.mode, self.policy.method, &mut rand::rng());
        self.packets.open(terms, &shares).await?;
        if self.is_closed(terms).await? { Err(gone) } else { self.offer_or_close(terms).await }
    }

    /// Whether anybody was paid their share.
    async fn was_taken(&self, escrow: &Escrow) -> Result<bool, Refusal> {
        let Escrow { terms, balance, .. } = escrow;
        Ok(*balance < terms.total
            && self.escrows.paid(terms.app, &terms.packet).await?.iter().any(|paid| paid.kind == Kind::Grab))
    }

    async fn is_closed(&self, terms: &Terms) -> Result<bool, Refusal> {
        match self.packets.snapshot(terms.app, &terms.packet).await {
            Ok(snapshot) => Ok(snapshot.state == State::Expired),
            // Although it was opened: it had been closed before it was known.
            Err(PacketError::NoSuchPacket) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn announced(&self, terms: &Terms) {
        if let Err(error) = self.agenda.announced(terms.app, &terms.packet).await {
            tracing::debug!(%error, "a packet is offered again later, which changes nothing");
        }
    }

    /// When the conversation does not take the message, for good, the packet is closed and the money goes back.
    async fn offer_or_close(&self, terms: &Terms) -> Result<Sent, Refusal> {
        match self.offer(terms).await {
            Ok(sent) => {
                self.announced(terms).await;
                Ok(sent)
            }
            Err(refusal) => {
                if !is_fault(&refusal) {
                    self.packets.close(terms).await?;
                }
                Err(refusal)
            }
        }
    }

    async fn offer(&self, terms: &Terms) -> Result<Sent, Refusal> {
        let sender = Identity { app: terms.app, user: terms.sender.clone() };
        let content = Content::red_packet(terms.packet.clone(), terms.greeting.clone());
        let id = Some(&terms.msg_id);
        let sent = self.chat.send(&sender, &terms.target, &content, id, Skip::Nobody).await?;
        if sent.receipt.duplicate && !self.is_offer(terms, sent.receipt.offset).await? {
            return Err(used("the msgId was used for another message"));
        }
        Ok(sent)
    }

    /// Whether the entry at this offset, if it is still kept, offers this packet.
    async fn is_offer(&self, terms: &Terms, offset: u64) -> Result<bool, Refusal> {
        let conversation = Conversation::of(terms.app, &terms.sender, &terms.target);
        let page = self.log.read(&conversation, Range::After(offset.saturating_sub(1)), 1).await?;
        let Some(entry) = page.entries.first().filter(|entry| entry.offset == offset) else {
            return Ok(offset <= page.head);
        };
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Members {
            from: UserId,
            packet_id: Option<PacketId>,
        }
        let members: Members = members::read(&entry.members).map_err(|error| {
            tracing::error!(%error, offset, "an entry of the log cannot be read");
            Refusal::from(Code::ServerError)
        })?;
        Ok(members.from == terms.sender && members.packet_id.as_ref() == Some(&terms.packet))
    }

    /// Takes a share.
    ///
    /// # Errors
    /// Of [`super::packets::Shares::grab`].
    pub async fn grab(&self, app: AppId, packet: &PacketId, user: &UserId) -> Result<GrabResponse, Refusal> {
        let mut grabbed = self.packets.grab(app, packet, user).await;
        if grabbed == Err(PacketError::Doubtful) {
            let terms = self.escrows.escrow(app, packet).await?.terms;
            self.packets.restore(&terms, &self.escrows.paid(app, packet).await?).await?;
            grabbed = self.packets.grab(app, packet, user).await;
        }
        let (outcome, amount) = match grabbed? {
            Grab::Won { amount, last, .. } => {
                if last {
                    self.tell_finished(app, packet).await;
                }
                (Outcome::Won, amount)
            }
            Grab::Already { amount } => (Outcome::Already, amount),
            Grab::Empty => (Outcome::Empty, Cents::ZERO),
            Grab::Expired => (Outcome::Expired, Cents::ZERO),
        };
        Ok(GrabResponse { outcome, amount: amount.unsigned() })
    }
}

/// Whether something failed, rather than said no.
pub(super) fn is_fault(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::StoreUnreachable | Code::ServerError)
}

fn used(reason: &str) -> Refusal {
    Refusal::new(Code::RefusedByRule, reason)
}

/// An id of 32 hexadecimal digits.
fn name<T, E: std::fmt::Display>(id: Uuid, read: fn(&str) -> Result<T, E>) -> Result<T, Refusal> {
    read(&id.simple().to_string()).map_err(|error| {
        tracing::error!(%error, "a name could not be made up");
        Code::ServerError.into()
    })
}
