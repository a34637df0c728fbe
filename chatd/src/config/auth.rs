//! Settings of identities: the keys of operators, and what users' tokens are signed with.
//!
//! Invariant: no secret is shown, and a setting that would do nothing is refused.

use std::path::PathBuf;

use chat_protocol::Span;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::secret::{KeyLine, Secret};

settings! {
    /// Identities: without any key in it, every caller is an operator.
    AuthGiven => Auth {
        /// Operators' keys, each as `chatd api-key` prints it: NAME:SCOPE+SCOPE:HASH
        #[arg(long = "auth-keys", env = "CHATD_AUTH_KEYS", hide_env_values = true, value_name = "LINES", value_delimiter = ',')]
        keys: Vec<KeyLine> = Vec::new(),
        /// Secret that users' tokens are signed with (HS256), at least 32 bytes; better in the environment or a file
        #[arg(long = "auth-jwt-secret", env = "CHATD_AUTH_JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
        jwt_secret: Secret = Secret::default(),
        /// Files with such a secret each; `chatd token` signs with the first there is
        #[arg(long = "auth-jwt-secret-files", env = "CHATD_AUTH_JWT_SECRET_FILES", value_name = "FILES", value_delimiter = ',')]
        jwt_secret_files: Vec<PathBuf> = Vec::new(),
        /// Files with a public key each (PEM; RSA from 2048 bits for RS256, or Ed25519) that tokens are signed for
        #[arg(long = "auth-jwt-public-keys", env = "CHATD_AUTH_JWT_PUBLIC_KEYS", value_name = "FILES", value_delimiter = ',')]
        jwt_public_keys: Vec<PathBuf> = Vec::new(),
        /// Files with public keys as JSON Web Key Sets
        #[arg(long = "auth-jwks-files", env = "CHATD_AUTH_JWKS_FILES", value_name = "FILES", value_delimiter = ',')]
        jwks_files: Vec<PathBuf> = Vec::new(),
        /// What tokens must have as `iss`; empty asks for none
        #[arg(long = "auth-issuer", env = "CHATD_AUTH_ISSUER", value_name = "TEXT")]
        issuer: String = String::new(),
        /// What tokens must have in `aud`; empty takes tokens without one only
        #[arg(long = "auth-audience", env = "CHATD_AUTH_AUDIENCE", value_name = "TEXT")]
        audience: String = String::new(),
        /// How far the clock of whoever makes tokens may be from this one
        #[arg(long = "auth-leeway", env = "CHATD_AUTH_LEEWAY", value_name = "DURATION")]
        leeway: Span = Span::seconds(10),
        /// How long before its end a session is told that its token expires
        #[arg(long = "auth-expiry-warning", env = "CHATD_AUTH_EXPIRY_WARNING", value_name = "DURATION")]
        expiry_warning: Span = Span::seconds(60),
    }
}

/// More would let tokens live on that were meant to be over.
const MAX_LEEWAY: Span = Span::seconds(5 * 60);

impl Auth {
    /// Whether every caller is an operator.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keys.is_empty() && !self.takes_tokens()
    }

    /// Whether users' tokens can be verified.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        let files = [&self.jwt_secret_files, &self.jwt_public_keys, &self.jwks_files];
        !self.jwt_secret.is_empty() || files.into_iter().any(|files| !files.is_empty())
    }

    /// Checks what can be checked without reading files.
    ///
    /// # Errors
    /// A text that names the setting and no secret.
    pub fn check(&self) -> Result<(), String> {
        let mut names = Vec::new();
        for line in &self.keys {
            let key = line.parse().map_err(|why| format!("auth.keys: {why}"))?;
            if names.contains(&key.name) {
                return Err(format!("auth.keys: two keys are called {}", key.name));
            }
            names.push(key.name);
        }
        for (name, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if !text.is_empty() && !self.takes_tokens() {
                return Err(format!(
                    "auth.{name} is for tokens, and nothing is given to verify them with: give --auth-jwt-secret-files, \
                     --auth-jwt-public-keys or --auth-jwks-files"
                ));
            }
        }
        match self.leeway > MAX_LEEWAY {
            true => Err(format!("auth.leeway must be at most {MAX_LEEWAY}")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn config(change: impl FnOnce(&mut Auth)) -> Result<(), String> {
        let mut config = Config::default();
        config.serve.listen = "0.0.0.0:8080".to_owned();
        change(&mut config.auth);
        config.check()
    }

    #[test]
    fn a_closed_node_may_listen_on_any_address() {
        let line = format!("ops:read:{}", "ab".repeat(32));
        assert!(config(|_| ()).unwrap_err().contains("--allow-open"));
        assert_eq!(config(|auth| auth.keys = vec![line.as_str().into()]), Ok(()));
        assert_eq!(config(|auth| auth.jwt_secret = "x".into()), Ok(()));
        assert_eq!(config(|auth| auth.jwks_files = vec!["keys.json".into()]), Ok(()));
    }

    #[test]
    fn what_would_do_nothing_is_refused_and_no_key_is_repeated() {
        let line = format!("ops:read:{}", "ab".repeat(32));
        for (change, named) in [
            (
                Box::new(|auth: &mut Auth| auth.keys = vec!["ck_ops_hush".into()])
                    as Box<dyn FnOnce(&mut Auth)>,
                "auth.keys",
            ),
            (Box::new(|auth: &mut Auth| auth.keys = vec!["".into()]), "auth.keys"),
            (
                Box::new(|auth: &mut Auth| auth.keys = vec![line.as_str().into(), line.as_str().into()]),
                "two keys",
            ),
            (
                Box::new(|auth: &mut Auth| {
                    (auth.keys, auth.issuer) = (vec![line.as_str().into()], "i".into())
                }),
                "auth.issuer",
            ),
            (
                Box::new(|auth: &mut Auth| (auth.jwt_secret, auth.leeway) = ("x".into(), Span::seconds(301))),
                "auth.leeway",
            ),
        ] {
            let refused = config(change).unwrap_err();
            assert!(
                refused.starts_with("auth.") && refused.contains(named) && !refused.contains("hush"),
                "{refused}"
            );
        }
    }
}
