//! Whether the stores that the settings name can be asked at all.
//!
//! Invariant: a refusal names the setting and never a password. Nothing is connected to.

use crate::config::{Config, FilePlace, LedgerPlace};
use crate::engine::objects::Objects;
use crate::engine::redis::keys::Keys;
use crate::engine::redis::site;
use crate::engine::{postgres, rabbitmq};

/// Checks what settings say about stores, as their drivers read it.
///
/// # Errors
/// A text that names the setting and what is wrong with it.
pub fn check_places(config: &Config) -> Result<(), String> {
    let serve = &config.serve;
    let wrong = |setting: &str, value: &dyn std::fmt::Debug, why: &dyn std::fmt::Display| {
        format!("{setting} = {value:?}: {why}")
    };
    Keys::new(&serve.redis_prefix).map_err(|error| wrong("redis_prefix", &serve.redis_prefix, &error))?;
    if !serve.redis.is_empty() {
        site::read(&serve.redis.expose().into()).map_err(|error| wrong("redis", &serve.redis, &error))?;
    }
    if let LedgerPlace::Postgres(url) = config.ledger()? {
        postgres::check_url(url.expose()).map_err(|error| wrong("ledger", &serve.ledger, &error))?;
    }
    if !serve.amqp.is_empty() {
        rabbitmq::check_url(serve.amqp.expose()).map_err(|error| wrong("amqp", &serve.amqp, &error))?;
    }
    if let FilePlace::Bucket(bucket) = config.file_place()? {
        Objects::in_bucket(&bucket).map_err(|error| wrong("files.place", &bucket.to_string(), &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_driver_understands_is_refused_without_its_password() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 4] = [
            ("redis_prefix =", |config| config.serve.redis_prefix = "a:b".to_owned()),
            ("redis =", |config| config.serve.redis = "http://:secret@host".into()),
            ("amqp =", |config| config.serve.amqp = "http://u:secret@h".into()),
            ("ledger =", |config| config.serve.ledger = "postgres://u:secret@h:port/d".into()),
        ];
        assert_eq!(check_places(&Config::default()), Ok(()));
        for (named, change) in changes {
            let mut config = Config::default();
            change(&mut config);
            let refused = check_places(&config).unwrap_err();
            assert!(refused.starts_with(named) && !refused.contains("secret"), "{refused}");
        }
    }
}
