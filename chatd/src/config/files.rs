//! Settings of files: where they lie, who signs their addresses, for how long.
//!
//! Invariant: a place that nodes cannot share is refused where they share an engine, and no secret is shown.

use std::path::{Path, PathBuf};

use chat_protocol::{Span, secret as secrets};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::{Config, MAX_FILE, Origins, Secret, StoreUrl, text_file};

settings! {
    /// Files that messages carry.
    FilesGiven => Files {
        /// Where files lie: a directory or s3://BUCKET/PREFIX, which all nodes over one Redis share; auto: files in the data directory, nowhere over Redis; "" for nowhere
        #[arg(long = "files", env = "CHATD_FILES", hide_env_values = true, value_name = "PLACE")]
        place: String = "auto".to_owned(),
        /// How long an address of a file can be opened, by who may open it
        #[arg(long = "file-url-life", env = "CHATD_FILE_URL_LIFE", value_name = "DURATION")]
        url_life: Span = Span::seconds(10 * 60),
        /// How long a file that no message carries is kept
        #[arg(long = "file-unsent-life", env = "CHATD_FILE_UNSENT_LIFE", value_name = "DURATION")]
        unsent_life: Span = Span::seconds(60 * 60),
        /// How long one upload may take; one that sends nothing for limits.stall_timeout ends before
        #[arg(long = "file-upload-timeout", env = "CHATD_FILE_UPLOAD_TIMEOUT", value_name = "DURATION")]
        upload_timeout: Span = Span::seconds(10 * 60),
        /// Files with a secret of at least 32 bytes each, which sign the addresses: the first signs, all are believed; without any, a secret of the engine does
        #[arg(long = "file-key-files", env = "CHATD_FILE_KEY_FILES", value_name = "FILES", value_delimiter = ',')]
        key_files: Vec<PathBuf> = Vec::new(),
        /// Origins whose addresses a message may carry besides files of this chatd, such as https://cdn.example; * for any text
        #[arg(long = "media-origins", env = "CHATD_MEDIA_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
        media_origins: Vec<String> = Vec::new(),
        /// Server of the bucket, such as https://s3.example:9000; without it, Amazon's of the region
        #[arg(long, env = "CHATD_S3_ENDPOINT", hide_env_values = true, value_name = "URL")]
        s3_endpoint: StoreUrl = StoreUrl::default(),
        /// Region of the bucket; many servers take any
        #[arg(long, env = "CHATD_S3_REGION", value_name = "NAME")]
        s3_region: String = "us-east-1".to_owned(),
        /// Whether the bucket stands in the path of requests; false puts it before the name of the host
        #[arg(long, env = "CHATD_S3_PATH_STYLE", num_args = 1, value_name = "BOOL")]
        s3_path_style: bool = true,
        /// Reach a server of the bucket on another machine without TLS
        #[arg(long, env = "CHATD_S3_ALLOW_HTTP", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
        s3_allow_http: bool = false,
        /// Access key for the bucket; without it, what AWS's own programs find: AWS_ACCESS_KEY_ID, or the role of the container or machine
        #[arg(long, env = "CHATD_S3_ACCESS_KEY", hide_env_values = true, value_name = "ID")]
        s3_access_key: Secret = Secret::default(),
        /// Secret of the access key; better in the environment or a file
        #[arg(long, env = "CHATD_S3_SECRET_KEY", hide_env_values = true, value_name = "SECRET")]
        s3_secret_key: Secret = Secret::default(),
        /// File with the secret of the access key
        #[arg(long, env = "CHATD_S3_SECRET_KEY_FILE", value_name = "FILE")]
        s3_secret_key_file: PathBuf = PathBuf::new(),
    }
}

/// Where files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePlace {
    /// In this directory.
    Directory(PathBuf),
    /// In this bucket.
    Bucket(Bucket),
    /// In memory, as everything else.
    Memory,
    /// Nowhere: no file is taken.
    None,
}

/// Shortest secret, as for users' tokens.
const SHORTEST_SECRET: usize = 32;
/// Longest life of an address: that its user is a member is looked at when it is opened, who shows it is not.
const MAX_URL_LIFE: Span = Span::seconds(24 * 60 * 60);

impl Config {
    /// Where files lie.
    ///
    /// # Errors
    /// A text for the operator when it is no place, or what is said about a bucket does not fit.
    pub fn file_place(&self) -> Result<FilePlace, String> {
        let place = self.files.place.as_str();
        if let Some(bucket) = Bucket::of(&self.files)? {
            return Ok(FilePlace::Bucket(bucket));
        }
        if place.contains("://") {
            let place = secrets::url(place);
            return Err(format!("files.place = {place:?}: must be a directory or s3://BUCKET/PREFIX"));
        }
        Ok(match place {
            "" => FilePlace::None,
            "auto" if !self.serve.redis.is_empty() => FilePlace::None,
            "auto" if self.serve.ephemeral => FilePlace::Memory,
            "auto" => FilePlace::Directory(self.serve.data_dir.join("files")),
            directory => FilePlace::Directory(PathBuf::from(directory)),
        })
    }

    /// The origins whose addresses a message may carry.
    ///
    /// # Errors
    /// A text for the operator when one of them can never match.
    pub fn media_origins(&self) -> Result<Origins, String> {
        Origins::parse_as("files.media_origins", &self.files.media_origins)
    }

    /// The secrets that addresses of files are signed with, if they are given.
    ///
    /// # Errors
    /// A text for the operator that names the file.
    pub fn file_secrets(&self) -> Result<Vec<Vec<u8>>, String> {
        let read = |file: &PathBuf| match secret_in("key_files", file)? {
            short if short.len() < SHORTEST_SECRET => Err(told(
                "key_files",
                file,
                &format!(
                    "a secret has at least {SHORTEST_SECRET} bytes; `head -c 32 /dev/urandom | base64` makes one"
                ),
            )),
            secret => Ok(secret.into_bytes()),
        };
        self.files.key_files.iter().map(read).collect()
    }

    pub(super) fn check_files(&self) -> Result<(), String> {
        self.media_origins()?;
        self.file_secrets()?;
        self.file_place()?;
        let second = Span::seconds(1);
        let spans = [
            ("url_life", self.files.url_life),
            ("unsent_life", self.files.unsent_life),
            ("upload_timeout", self.files.upload_timeout),
        ];
        if let Some((name, _)) = spans.into_iter().find(|(_, span)| *span < second) {
            return Err(format!("files.{name} must be at least {second}"));
        }
        if self.files.url_life > MAX_URL_LIFE {
            return Err(format!("files.url_life must be at most {MAX_URL_LIFE}"));
        }
        // Otherwise a file could be gone before its upload is answered.
        if self.files.unsent_life < self.files.upload_timeout {
            return Err("files.unsent_life must be at least files.upload_timeout".to_owned());
        }
        Ok(())
    }
}

/// The secret that a file holds, which a setting of files names.
pub(super) fn secret_in(setting: &str, file: &Path) -> Result<String, String> {
    let text = text_file::read(file, MAX_FILE).map_err(|why| told(setting, file, &why))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn told(setting: &str, file: &Path, why: &str) -> String {
    format!("files.{setting}: {}: {why}", secrets::file(&file.to_string_lossy()))
}
