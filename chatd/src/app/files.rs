//! Files put together: where they lie, and who signs their addresses.

use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::Base;
use super::engine::Engine;
use super::waiting::Waiting;
use crate::chat::Chat;
use crate::config::{Bucket, Config, FilePlace};
use crate::engine::objects::Objects;
use crate::engine::sqlite::private;
use crate::files::address::Signer;
use crate::files::{Files, Parts, Store};

/// Opens the place of files; with them comes the chat whose messages carry them.
///
/// # Errors
/// For the operator: what cannot be used.
pub(super) async fn open(
    config: &Config,
    base: &Base,
    engine: &Engine,
) -> anyhow::Result<(Arc<Files>, Arc<Chat>)> {
    let refused = |error: String| anyhow!(error);
    let (store, spool): (Option<Arc<dyn Store>>, _) = match config.file_place().map_err(refused)? {
        FilePlace::None => (None, std::env::temp_dir()),
        FilePlace::Memory => (Some(Arc::new(Objects::in_memory())), std::env::temp_dir()),
        FilePlace::Directory(directory) => {
            let store = Objects::in_directory(&directory).map_err(refused).context("files.place")?;
            let spool = directory.join("uploads");
            private::directory(&spool).with_context(|| format!("cannot create {}", spool.display()))?;
            (Some(Arc::new(store)), spool)
        }
        FilePlace::Bucket(bucket) => {
            (Some(Arc::new(in_bucket(&bucket, base.waiting).await?)), std::env::temp_dir())
        }
    };
    let own = engine.files.secret().await.context("the secret that addresses of files are signed with")?;
    let signer = Signer::new(own.into_bytes(), config.file_secrets().map_err(refused)?);
    let parts = Parts {
        records: engine.files.clone(),
        store,
        groups: engine.groups.clone(),
        bans: engine.bans.clone(),
        clock: base.clock.clone(),
        quotas: base.quotas.clone(),
        signer,
        origins: config.media_origins().map_err(refused)?.into(),
        settings: config.files.clone(),
        max_age_ms: config.history.max_age.millis(),
        spool,
    };
    let files = Arc::new(Files::new(parts));
    let chat = base.chat(config, engine.broker.clone(), files.clone())?;
    Ok((files, chat))
}

/// A bucket that files can be put into, as was tried.
async fn in_bucket(bucket: &Bucket, waiting: Waiting) -> anyhow::Result<Objects> {
    let place = format!("the bucket {bucket}");
    let unusable = || format!("cannot use {place}");
    let store = Objects::in_bucket(bucket).map_err(|error| anyhow!(error)).with_context(unusable)?;
    let check = async || store.check().await;
    waiting.open(&place, check, |unusable| unusable.passes).await.with_context(unusable)?;
    let spool = std::env::temp_dir();
    let why =
        || format!("uploads wait in {} until they are whole; TMPDIR names another place", spool.display());
    tempfile::tempfile_in(&spool).with_context(why)?;
    tracing::info!("files lie in {place}");
    Ok(store)
}
