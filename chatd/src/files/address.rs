//! Addresses of files: signed for one user of one conversation, until a moment.
//!
//! Invariant: whatever stands in an address is signed, but which part of the file is meant; a signature says nothing about
//! who belongs to the conversation by now.

use chat_protocol::file::{Address, FILE_PATH};
use chat_protocol::{AppId, Code, Refusal, Target, UserId};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::FileId;
use crate::model::Conversation;

/// Bytes of a key's name.
const NAME_BYTES: usize = 4;

/// Who signs addresses, and believes them.
pub struct Signer {
    /// For when no others are given.
    own: Vec<u8>,
    /// The first signs.
    keys: RwLock<Vec<Key>>,
}

#[derive(Clone)]
struct Key {
    name: String,
    secret: Vec<u8>,
}

/// A conversation as a text; no two have the same.
#[must_use]
pub fn place(conversation: &Conversation) -> String {
    match conversation {
        Conversation::World(_) => "world".to_owned(),
        Conversation::Group(_, group) => format!("group\n{group}"),
        Conversation::Pair(_, a, b) => format!("pair\n{a}\n{b}"),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Key {
    fn new(secret: Vec<u8>) -> Self {
        Self { name: hex(&Sha256::digest(&secret)[..NAME_BYTES]), secret }
    }

    fn mac(&self, text: &str) -> Option<Hmac<Sha256>> {
        // Does not fail: HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(text.as_bytes());
        Some(mac)
    }
}

/// What an address is for.
#[derive(Debug, Clone, Copy)]
pub struct Whom<'a> {
    /// Which world.
    pub app: AppId,
    /// Who opens it.
    pub user: &'a UserId,
    /// The conversation, as they name it.
    pub target: &'a Target,
}

impl Whom<'_> {
    /// The conversation.
    #[must_use]
    pub fn conversation(&self) -> Conversation {
        Conversation::of(self.app, self.user, self.target)
    }

    /// What is signed. No part of it holds a line break.
    fn text(&self, id: &FileId, expires: u64) -> String {
        let (app, user, place) = (self.app, self.user, place(&self.conversation()));
        format!("file\n{app}\n{user}\n{}\n{expires}\n{place}", id.as_str())
    }
}

impl Signer {
    /// Signs with the first of these secrets, and believes all of them; with its own where there are none.
    #[must_use]
    pub fn new(own: Vec<u8>, secrets: Vec<Vec<u8>>) -> Self {
        let signer = Self { own, keys: RwLock::default() };
        signer.replace(secrets);
        signer
    }

    /// Goes on with other secrets.
    pub fn replace(&self, secrets: Vec<Vec<u8>>) {
        let secrets = if secrets.is_empty() { vec![self.own.clone()] } else { secrets };
        *self.keys.write() = secrets.into_iter().map(Key::new).collect();
    }

    /// The address of a file.
    ///
    /// # Errors
    /// When there is no key, which is a fault of this program.
    pub fn sign(&self, whom: Whom<'_>, id: &FileId, expires: u64) -> Result<String, Refusal> {
        let key = self.keys.read().first().cloned();
        let signed = key.and_then(|key| Some((key.mac(&whom.text(id, expires))?, key.name)));
        let (mac, key) = signed.ok_or(Code::ServerError)?;
        let signature = hex(&mac.finalize().into_bytes());
        let written = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (user, target) = (written(whom.user.as_str()), written(&whom.target.to_string()));
        Ok(format!(
            "{FILE_PATH}{}?appId={}&userId={user}&target={target}&expires={expires}&key={key}&signature={signature}",
            id.as_str(),
            whom.app
        ))
    }

    /// Whether an address was signed here and has not ended.
    ///
    /// # Errors
    /// [`Code::NotAuthorised`] with what is wrong with it.
    pub fn check(&self, address: &Address, id: &FileId, now_ms: u64) -> Result<(), Refusal> {
        let refused = |why: &str| Err(Refusal::new(Code::NotAuthorised, why));
        let whom = Whom { app: address.app_id, user: &address.user_id, target: &address.target };
        let mac = {
            let keys = self.keys.read();
            let key = keys.iter().find(|key| key.name == address.key);
            key.and_then(|key| key.mac(&whom.text(id, address.expires)))
        };
        let Some(mac) = mac else {
            return refused(
                "the address was signed with a key that is not in use; ask /file/url for another",
            );
        };
        match unhex(&address.signature).map(|signature| mac.verify_slice(&signature)) {
            Some(Ok(())) if now_ms < address.expires => Ok(()),
            Some(Ok(())) => refused("the address has ended; ask /file/url for another"),
            _ => refused("the address was not signed for this"),
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len().is_multiple_of(2);
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    is_hex.then(|| (0..text.len()).step_by(2).map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> (FileId, Address) {
        let (path, query) = text.split_once('?').unwrap();
        let mut params = chat_protocol::Params::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
            params.add(name, value.as_ref().into()).unwrap();
        }
        let id = chat_protocol::file::id_in(path).and_then(FileId::parse).unwrap();
        (id, params.conform(&[]).unwrap())
    }

    #[test]
    fn an_address_is_for_what_was_signed_and_for_nothing_else() {
        let signer = Signer::new(b"the first secret".to_vec(), Vec::new());
        let (user, target) = (UserId::new("马超 &=?#").unwrap(), "user:帝\u{202e}%".parse().unwrap());
        let whom = Whom { app: 7, user: &user, target: &target };
        let (id, good) = address(&signer.sign(whom, &FileId::random(), 1_000).unwrap());
        assert_eq!((&good.user_id, &good.target, good.expires), (&user, &target, 1_000));
        signer.check(&good, &id, 999).unwrap();
        let part = Address { part: Some("thumbnail".to_owned()), ..good.clone() };
        signer.check(&part, &id, 999).unwrap();
        assert!(signer.check(&good, &id, 1_000).unwrap_err().reason.contains("ended"));
        assert!(signer.check(&good, &FileId::random(), 999).is_err());
        let mut cut = good.signature.clone();
        cut.truncate(62);
        for other in [
            Address { app_id: 8, ..good.clone() },
            Address { user_id: UserId::new("马超").unwrap(), ..good.clone() },
            Address { target: Target::World, ..good.clone() },
            Address { expires: 1_001, ..good.clone() },
            Address { key: "00000000".to_owned(), ..good.clone() },
            Address { signature: good.signature.replace(&good.signature[..2], "zz"), ..good.clone() },
            Address { signature: cut, ..good.clone() },
            Address { signature: "é".repeat(8), ..good.clone() },
        ] {
            assert_eq!(signer.check(&other, &id, 999).unwrap_err().code, Code::NotAuthorised, "{other:?}");
        }
    }

    #[test]
    fn a_new_key_signs_and_the_old_one_is_believed_until_it_is_gone() {
        let (old, new) = (b"the old secret".to_vec(), b"the new secret".to_vec());
        let signer = Signer::new(old.clone(), Vec::new());
        let (user, target) = (UserId::new("a").unwrap(), Target::World);
        let whom = Whom { app: 7, user: &user, target: &target };
        let (id, first) = address(&signer.sign(whom, &FileId::random(), 1_000).unwrap());
        signer.replace(vec![new.clone(), old]);
        let (other, second) = address(&signer.sign(whom, &FileId::random(), 1_000).unwrap());
        signer.check(&first, &id, 1).unwrap();
        signer.check(&second, &other, 1).unwrap();
        signer.replace(vec![new]);
        assert!(signer.check(&first, &id, 1).unwrap_err().reason.contains("key that is not in use"));
        signer.check(&second, &other, 1).unwrap();
    }
}
