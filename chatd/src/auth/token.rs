//! Users' tokens: JSON Web Tokens with `sub`, `appId` and `exp`, signed with one of the configured keys.
//!
//! Invariant: the key decides the algorithm, never the token: a token only chooses among the keys of the algorithm it
//! names. Reasons for a refusal are texts of ours, so that nothing of a token stands in them.

use chat_protocol::{AppId, UserId};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::denied::Fault;
use super::keys::secrets;
use super::provider;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::model::Identity;

/// A key that tokens may be signed with.
pub(super) struct TokenKey {
    /// Which key a token means that names one.
    pub kid: Option<String>,
    /// What its tokens are signed by.
    pub algorithm: Algorithm,
    /// To verify them.
    pub key: DecodingKey,
    /// Its number.
    pub number: u16,
}

/// How tokens are verified.
pub(super) struct Tokens {
    /// With which keys.
    pub keys: Vec<TokenKey>,
    /// Against what else; without an algorithm.
    validation: Validation,
    leeway_s: u64,
}

/// What a good token says.
pub(super) struct Verified {
    /// Whose it is.
    pub identity: Identity,
    /// When it ends for us, Unix seconds.
    pub until_s: u32,
    /// The key it is from.
    pub number: u16,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(rename = "appId")]
    app_id: AppId,
    exp: Number,
}

#[derive(Serialize)]
struct Minted<'a> {
    sub: &'a str,
    #[serde(rename = "appId")]
    app_id: AppId,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    iss: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    aud: &'a str,
}

impl Tokens {
    /// Tokens signed with these keys, as the settings want them.
    pub fn new(settings: &config::Auth, keys: Vec<TokenKey>) -> Self {
        provider::install();
        let leeway_s = u64::from(settings.leeway.whole_seconds());
        let mut validation = Validation::default();
        validation.algorithms.clear();
        (validation.leeway, validation.validate_nbf) = (leeway_s, true);
        let mut required = vec!["exp", "sub"];
        if !settings.issuer.is_empty() {
            validation.set_issuer(&[&settings.issuer]);
            required.push("iss");
        }
        if !settings.audience.is_empty() {
            validation.set_audience(&[&settings.audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Self { keys, validation, leeway_s }
    }

    /// What a token says, if it is good now.
    pub fn verify(&self, token: &str) -> Result<Verified, Why> {
        let header = decode_header(token).map_err(|error| reason(&error))?;
        if header.crit.is_some() {
            return Err((Fault::Claims, "the token asks for what is not understood here (crit)"));
        }
        let mut refused = (Fault::Signature, "the token is signed with no key that is known here");
        let is_meant = |key: &&TokenKey| {
            let named = header.kid.as_ref().zip(key.kid.as_ref());
            key.algorithm == header.alg && named.is_none_or(|(asked, known)| asked == known)
        };
        for key in self.keys.iter().filter(is_meant) {
            let mut validation = self.validation.clone();
            validation.algorithms.push(key.algorithm);
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(decoded) => return self.accept(decoded.claims, key.number),
                // Another key may have signed it.
                Err(error) => refused = reason(&error),
            }
            if refused.0 != Fault::Signature {
                break;
            }
        }
        Err(refused)
    }

    fn accept(&self, claims: Claims, number: u16) -> Result<Verified, Why> {
        let user = UserId::new(&claims.sub).map_err(|_| (Fault::Claims, "the token's sub is no userId"))?;
        // A later end than can be counted is none.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "too large a number becomes the largest"
        )]
        let exp = claims.exp.as_u64().or_else(|| claims.exp.as_f64().map(|exp| exp as u64)).unwrap_or(0);
        let until_s = u32::try_from(exp.saturating_add(self.leeway_s)).unwrap_or(u32::MAX);
        // At the time it names a token is over (RFC 7519 §4.1.4).
        if u64::from(until_s) <= SystemClock.now_ms() / 1000 {
            return Err(EXPIRED);
        }
        Ok(Verified { identity: Identity { app: claims.app_id, user }, until_s, number })
    }
}

/// Why a token is refused, and in our words.
type Why = (Fault, &'static str);

const EXPIRED: Why = (Fault::Expired, "the token has expired");

fn reason(error: &Error) -> Why {
    match error.kind() {
        ErrorKind::InvalidSignature => (Fault::Signature, "the token's signature is wrong"),
        ErrorKind::ExpiredSignature => EXPIRED,
        ErrorKind::ImmatureSignature => (Fault::Early, "the token is not valid yet (nbf)"),
        ErrorKind::InvalidIssuer => (Fault::Elsewhere, "the token is of another issuer (iss)"),
        ErrorKind::InvalidAudience => (Fault::Elsewhere, "the token is for another audience (aud)"),
        ErrorKind::MissingRequiredClaim(claim) => (
            Fault::Claims,
            match claim.as_str() {
                "exp" => "the token has no exp",
                "sub" => "the token has no sub",
                "iss" => "the token has no iss",
                _ => "the token has no aud",
            },
        ),
        ErrorKind::Json(_) => (
            Fault::Claims,
            "the token's parts are not what they must be: sub a text, appId a number, exp a time",
        ),
        _ => (
            Fault::Malformed,
            "this is no token: a key, or a JSON Web Token by HS256, RS256 or EdDSA, is expected",
        ),
    }
}

/// A token for a user, signed with the first secret of the settings, from `now_s` (Unix seconds) on for so many seconds.
///
/// # Errors
/// A text for whoever asked, when there is no secret or it cannot be read.
pub fn mint(
    settings: &config::Auth,
    identity: &Identity,
    now_s: u64,
    seconds: u64,
) -> Result<String, String> {
    provider::install();
    let secret = secrets(settings)?.into_iter().next().ok_or(
        "there is no secret to sign with: give --auth-jwt-secret-files, or CHATD_AUTH_JWT_SECRET; tokens for a public \
         key are made where the private key is",
    )?;
    let claims = Minted {
        sub: identity.user.as_str(),
        app_id: identity.app,
        iat: now_s,
        exp: now_s.saturating_add(seconds),
        iss: &settings.issuer,
        aud: &settings.audience,
    };
    let signed = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&secret));
    signed.map_err(|error| format!("the token cannot be signed: {error}"))
}
