//! Names of packets: the same for each repetition of a creation, and known to nobody before.
//!
//! Invariant: a name is a keyed digest of who sent which message. The key is a secret of the ledger, which all nodes
//! share, so a repetition finds the packet whichever node it comes to.

use std::sync::Arc;

use chat_protocol::{Code, MsgId, PacketId, Refusal};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::name;
use crate::broker::REPEAT_WINDOW_MS;
use crate::model::Identity;
use crate::money::ledger::{Archive, Escrows, LedgerError, Secret};

/// Under which packets were named before there was a secret (RFC 9562 §5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x7265_645f_7061_636b_6574_5f6e_616d_6573);

/// Makes the ids of packets up.
pub(super) struct Names {
    escrows: Arc<dyn Escrows>,
    archive: Arc<dyn Archive>,
    secret: OnceCell<Secret>,
}

impl Names {
    pub(super) fn new(escrows: Arc<dyn Escrows>, archive: Arc<dyn Archive>) -> Self {
        Self { escrows, archive, secret: OnceCell::new() }
    }

    /// The name of the packet that this message offers.
    pub(super) async fn of(
        &self,
        sender: &Identity,
        msg_id: &MsgId,
        now_ms: u64,
    ) -> Result<PacketId, Refusal> {
        let secret = self.secret.get_or_try_init(|| self.archive.secret()).await?;
        let text = format!("{}\n{}\n{msg_id}", sender.app, sender.user);
        if now_ms.saturating_sub(secret.made_ms) < REPEAT_WINDOW_MS {
            // Perhaps the repetition of what was created before there was a secret.
            let former = name(Uuid::new_v5(&NAMESPACE, text.as_bytes()), PacketId::new)?;
            match self.escrows.escrow(sender.app, &former).await {
                Ok(_) => return Ok(former),
                Err(LedgerError::NoSuchPacket) => {}
                Err(error) => return Err(error.into()),
            }
        }
        name(keyed(&secret.secret, &text)?, PacketId::new)
    }
}

/// 128 bits that nobody can tell without the secret.
fn keyed(secret: &str, text: &str) -> Result<Uuid, Refusal> {
    // Does not fail: HMAC takes a key of any length.
    let digest = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut digest = digest.map_err(|_| Refusal::from(Code::ServerError))?;
    digest.update(text.as_bytes());
    let mut bits = [0; 16];
    bits.copy_from_slice(&digest.finalize().into_bytes()[..16]);
    Ok(Uuid::from_bytes(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_the_secret_and_of_the_message() {
        let name = keyed("secret", "1\na\nm").unwrap();
        for (secret, text, same) in
            [("secret", "1\na\nm", true), ("secreu", "1\na\nm", false), ("secret", "1\na\nn", false)]
        {
            assert_eq!(keyed(secret, text).unwrap() == name, same, "{secret} {text}");
        }
        assert_ne!(name, Uuid::new_v5(&NAMESPACE, b"1\na\nm"));
    }
}
