//! A bucket that files lie in, as the settings describe it.
//!
//! Invariant: a refusal names the setting and shows no secret; what would do nothing is refused.

use std::fmt;

use chat_protocol::secret as secrets;

use super::files::secret_in;
use super::{Files, Host, Secret};

/// What a place in a bucket begins with.
const SCHEME: &str = "s3://";

/// A bucket of a server that speaks as Amazon's S3 does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What the names of all files in it begin with: nothing, or a path that ends with a slash.
    pub prefix: String,
    /// Scheme, host and port of its server; none for Amazon's of the region.
    pub endpoint: Option<String>,
    /// What requests are signed for.
    pub region: String,
    /// Whether its name stands in the path of requests, not in the name of the host.
    pub path_style: bool,
    /// Who asks; none for whoever AWS's own programs would ask as.
    pub key: Option<AccessKey>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its name.
    pub id: Secret,
    /// What requests are signed with.
    pub secret: Secret,
}

/// Where it is.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, prefix, region, .. } = self;
        match &self.endpoint {
            Some(endpoint) => write!(f, "{SCHEME}{name}/{prefix} at {endpoint}"),
            None => write!(f, "{SCHEME}{name}/{prefix} in {region}"),
        }
    }
}

impl Bucket {
    /// The bucket that is the place of files, if one is.
    ///
    /// # Errors
    /// A text for the operator when the settings do not fit together, or one of them is no name, server or key.
    pub(super) fn of(files: &Files) -> Result<Option<Self>, String> {
        let Some(place) = files.place.strip_prefix(SCHEME) else {
            return match unused(files) {
                Some(setting) => Err(format!(
                    "files.{setting} is for files in a bucket; give files.place = \"s3://BUCKET/PREFIX\""
                )),
                None => Ok(None),
            };
        };
        let wrong = |why| format!("files.place = {:?}: {why}", secrets::url(&files.place));
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        check_name(name).map_err(wrong)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        check_prefix(prefix).map_err(wrong)?;
        if files.s3_region.is_empty()
            || !files.s3_region.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Err("files.s3_region must be a name such as eu-central-1".to_owned());
        }
        Ok(Some(Self {
            name: name.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            endpoint: endpoint(files)?,
            region: files.s3_region.clone(),
            path_style: files.s3_path_style,
            key: key(files)?,
        }))
    }
}

/// A setting of buckets that is given although files lie in none.
fn unused(files: &Files) -> Option<&'static str> {
    let given = [
        ("s3_endpoint", !files.s3_endpoint.is_empty()),
        ("s3_access_key", !files.s3_access_key.is_empty()),
        ("s3_secret_key", !files.s3_secret_key.is_empty()),
        ("s3_secret_key_file", !files.s3_secret_key_file.as_os_str().is_empty()),
        ("s3_allow_http", files.s3_allow_http),
        ("s3_path_style", !files.s3_path_style),
    ];
    given.into_iter().find_map(|(setting, is_given)| is_given.then_some(setting))
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.contains(['@', ':']) {
        return Err("a key does not stand here; give files.s3_access_key and files.s3_secret_key_file");
    }
    let is_named = (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    if is_named { Ok(()) } else { Err("the name of a bucket has 3 to 63 of a-z, 0-9, - and .") }
}

fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.bytes().all(|b| b == b'.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    match prefix.is_empty() || prefix.split('/').all(is_plain) {
        true => Ok(()),
        false => Err("a prefix is of A-Z, a-z, 0-9, -, _ and ., in parts between slashes"),
    }
}

fn endpoint(files: &Files) -> Result<Option<String>, String> {
    let Files { s3_endpoint: given, s3_allow_http, s3_path_style, .. } = files;
    if given.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| format!("files.s3_endpoint = {given:?}: {why}");
    let text = given.expose();
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("begins with https://"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(wrong("has no path; the bucket stands in files.place"));
    }
    let host: Host = rest.parse().map_err(wrong)?;
    if !s3_path_style && is_address(host.name()) {
        return Err(wrong("is an address, which has no bucket before it; leave files.s3_path_style true"));
    }
    match scheme {
        "https" => {}
        "http" if *s3_allow_http || host.is_loopback() => {}
        "http" => {
            return Err(wrong("files would travel in clear text; use https://, or say --s3-allow-http"));
        }
        _ => return Err(wrong("begins with https://")),
    }
    Ok(Some(format!("{scheme}://{rest}")))
}

/// Whether a host is no name but an address, also with another name before it: what ends with a number is read as one.
fn is_address(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    host.starts_with('[') || is_number(last) || last.strip_prefix("0x").is_some_and(is_hex)
}

fn key(files: &Files) -> Result<Option<AccessKey>, String> {
    let Files { s3_access_key: id, s3_secret_key: secret, s3_secret_key_file: file, .. } = files;
    let has_file = !file.as_os_str().is_empty();
    if has_file && !secret.is_empty() {
        return Err(
            "files.s3_secret_key and files.s3_secret_key_file say the same; give one of them".to_owned()
        );
    }
    let secret = match has_file {
        true => Secret::from(secret_in("s3_secret_key_file", file)?.as_str()),
        false => secret.clone(),
    };
    match (id.is_empty(), secret.is_empty()) {
        (true, true) if !has_file => Ok(None),
        (false, false) => Ok(Some(AccessKey { id: id.clone(), secret })),
        (true, _) => Err("files.s3_access_key is missing: its secret is given".to_owned()),
        (false, true) => {
            Err("files.s3_access_key needs its secret; give files.s3_secret_key_file".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, FilePlace};
    use super::*;

    fn bucket(change: impl FnOnce(&mut Files)) -> Result<Bucket, String> {
        let mut config = Config::default();
        config.files.place = "s3://chat/files".to_owned();
        change(&mut config.files);
        config.check()?;
        match config.file_place()? {
            FilePlace::Bucket(bucket) => Ok(bucket),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bucket_is_a_name_a_prefix_a_server_and_a_key() {
        let plain = bucket(|_| ()).unwrap();
        assert_eq!(
            (plain.name.as_str(), plain.prefix.as_str(), plain.key.is_none()),
            ("chat", "files/", true)
        );
        assert_eq!(plain.to_string(), "s3://chat/files/ in us-east-1");
        for (place, prefix) in [("s3://chat", ""), ("s3://chat/", ""), ("s3://chat/a/b.c/", "a/b.c/")] {
            assert_eq!(bucket(|files| files.place = place.to_owned()).unwrap().prefix, prefix);
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "hush\n").unwrap();
        let given = bucket(|files| {
            (files.s3_endpoint, files.s3_access_key) = ("http://[::1]:9000/".into(), "id".into());
            files.s3_secret_key_file = file;
        });
        let given = given.unwrap();
        assert_eq!(given.to_string(), "s3://chat/files/ at http://[::1]:9000");
        assert!(!format!("{given:?}").contains("hush"));
        assert_eq!(given.key.unwrap().secret.expose(), "hush");
    }

    #[test]
    fn what_is_no_bucket_is_refused_by_name_and_without_its_secret() {
        type Change = fn(&mut Files);
        let changes: [(&str, Change); 20] = [
            ("files.place", |files| files.place = "s3://key:hush@chat/files".to_owned()),
            ("files.place", |files| files.place = "s3://".to_owned()),
            ("files.place", |files| files.place = "s3://Chat".to_owned()),
            ("files.place", |files| files.place = "s3://chat/a//b".to_owned()),
            ("files.place", |files| files.place = "s3://chat/../b".to_owned()),
            ("files.place", |files| files.place = "s3://chat/a?b=hush".to_owned()),
            ("files.place", |files| files.place = "gs://u:hush@chat".to_owned()),
            ("files.s3_region", |files| files.s3_region = String::new()),
            ("files.s3_endpoint", |files| files.s3_endpoint = "s3.example".into()),
            ("files.s3_endpoint", |files| files.s3_endpoint = "ftp://s3.example".into()),
            ("--s3-allow-http", |files| files.s3_endpoint = "http://s3.example".into()),
            ("files.s3_endpoint", |files| files.s3_endpoint = "https://u:hush@s3.example".into()),
            ("files.s3_endpoint", |files| files.s3_endpoint = "https://s3.example/chat".into()),
            ("s3_path_style", |files| {
                (files.s3_endpoint, files.s3_path_style) = ("http://127.0.0.1:9000".into(), false);
            }),
            ("s3_path_style", |files| {
                (files.s3_endpoint, files.s3_path_style) = ("https://[2001:db8::1]".into(), false);
            }),
            ("files.s3_access_key", |files| files.s3_access_key = "id".into()),
            ("files.s3_access_key", |files| files.s3_secret_key = "hush".into()),
            ("files.s3_secret_key_file", |files| files.s3_secret_key_file = "/none".into()),
            ("say the same", |files| {
                (files.s3_secret_key, files.s3_secret_key_file) = ("hush".into(), "/none".into());
            }),
            ("files.s3_secret_key is for", |files| {
                (files.place, files.s3_secret_key) = ("auto".to_owned(), "hush".into());
            }),
        ];
        for (named, change) in changes {
            let refused = bucket(change).unwrap_err();
            assert!(refused.contains(named) && !refused.contains("hush"), "{named}: {refused}");
        }
        let explicit = |files: &mut Files| {
            (files.s3_endpoint, files.s3_allow_http) = ("http://s3.example:9000".into(), true);
        };
        assert_eq!(bucket(explicit).unwrap().endpoint.as_deref(), Some("http://s3.example:9000"));
        let named = |files: &mut Files| {
            (files.s3_endpoint, files.s3_path_style) = ("https://s3.example:9000".into(), false);
        };
        assert!(!bucket(named).unwrap().path_style);
        let mut config = Config::default();
        config.files.s3_secret_key = "hush".into();
        assert!(!config.to_toml().contains("hush"));
    }
}
