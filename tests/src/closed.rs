//! A closed chatd: keys of operators, one for each scope, and a secret for users' tokens.
//!
//! Invariant: its settings stand in a file, so that a test can change them and have them read again.

use std::path::PathBuf;

use chat_client::connection::Options;
use chat_client::{Server, Session};
use chat_protocol::rights::Scope;
use chatd::auth::make_api_key;
use serde_json::json;
use tempfile::TempDir;

use crate::jwt::{Signer, claims};
use crate::node::Node;
use crate::wait::SOON;

/// The secret for tokens.
pub const SECRET: &str = "only tests know this secret of theirs";

/// A closed node.
pub struct Closed {
    /// The node.
    pub node: Node,
    /// Keys by name: one for each scope, `talks` for read and send, `all` for everything.
    keys: Vec<(&'static str, String, String)>,
    directory: TempDir,
}

impl Closed {
    /// Starts it with further settings in `[auth]`, and arguments.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start(settings: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = keys();
        let file = directory.path().join("chatd.toml");
        std::fs::write(directory.path().join("secret"), format!("{SECRET}\n")).expect("written");
        std::fs::write(&file, text(&directory, &keys, settings)).expect("written");
        let path = file.to_str().expect("a path").to_owned();
        let node = Node::ephemeral(&[&["--config", path.as_str()], arguments].concat()).await;
        Self { node, keys, directory }
    }

    /// Puts other settings into its file, with these of its keys only.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn change(&self, names: &[&str], settings: &str) {
        let kept: Vec<_> = self.keys.iter().filter(|(name, ..)| names.contains(name)).cloned().collect();
        let text = text(&self.directory, &kept, settings);
        std::fs::write(self.file("chatd.toml"), text).expect("written");
    }

    /// A file beside its settings.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An operator's key.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> &str {
        let found = self.keys.iter().find(|(known, ..)| *known == name);
        &found.unwrap_or_else(|| panic!("no key {name}")).1
    }

    /// A user's token.
    #[must_use]
    pub fn token(&self, app: u32, user: &str) -> String {
        Signer::secret(SECRET).of(&claims(app, user))
    }

    /// The node, asked with this credential.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn server(&self, credential: &str) -> Server {
        self.node.server().clone().showing(credential).expect("a credential")
    }

    /// A connection that logs in with this token, and what became of it.
    ///
    /// # Panics
    /// When there is no handshake.
    pub async fn enter(
        &self,
        app: u32,
        user: &str,
        token: &str,
    ) -> (Session, Result<(), chat_client::Error>) {
        let opened = Session::open(self.node.server(), &Options::default(), SOON).await;
        let mut session = opened.expect("a handshake");
        let data = json!({"userId": user, "appId": app, "token": token});
        let entered = session.request("login", &data).await.map(drop);
        (session, entered)
    }
}

fn keys() -> Vec<(&'static str, String, String)> {
    let each = Scope::ALL.map(|scope| (scope.as_str(), vec![scope]));
    let more = [("talks", vec![Scope::Read, Scope::Send]), ("all", Scope::ALL.to_vec())];
    let made = |(name, scopes): (&'static str, Vec<Scope>)| {
        let (key, line) = make_api_key(name, scopes.into_iter().collect()).expect("random numbers");
        (name, key, line.to_string())
    };
    each.into_iter().chain(more).map(made).collect()
}

fn text(directory: &TempDir, keys: &[(&'static str, String, String)], settings: &str) -> String {
    let lines: Vec<_> = keys.iter().map(|(_, _, line)| format!("{line:?}")).collect();
    let secret = directory.path().join("secret");
    format!("[auth]\nkeys = [{}]\njwt_secret_files = [{secret:?}]\n{settings}\n", lines.join(", "))
}
