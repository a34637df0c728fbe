//! Files under test: pictures with what should not get about, and the way of a file from its upload to its readers.
//!
//! Invariant: requests are bytes that the test writes, so that nothing is corrected on their way.

use std::io::Cursor;
use std::path::Path;

use chat_client::Server;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::Node;
use crate::raw_http::{Answer, post_json, request};
use crate::redis_server::RedisServer;
use crate::s3_server::S3Server;
use crate::wait::{SOON, until};

/// The app of the tests.
pub const APP: u32 = 4301;
/// Where [`jpeg`] was taken.
pub const SECRET_PLACE: &[u8] = b"SECRET PLACE";

/// A node, or two on one Redis that share a directory or a bucket, and that place.
pub struct FileSite {
    /// One.
    pub one: Node,
    /// The other, where there is one.
    pub other: Option<Node>,
    directory: TempDir,
    /// Of a bucket, what all names in it begin with.
    prefix: Option<String>,
    _redis: Option<RedisServer>,
}

impl FileSite {
    /// A node that runs alone.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn embedded(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let own = ["--data-dir", data.to_str().expect("a path")];
        let one = Node::start(&[&own, arguments].concat()).await;
        Self { one, other: None, directory, prefix: None, _redis: None }
    }

    /// Two nodes on a Redis of their own.
    ///
    /// # Panics
    /// When they do not get ready.
    pub async fn redis(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let shared = directory.path().join("data/files");
        let own = ["--files", shared.to_str().expect("a path")];
        Self::two(directory, None, &[&own, arguments].concat()).await
    }

    /// The same in the bucket of a server that all tests of the process share.
    ///
    /// # Panics
    /// When they do not get ready.
    pub async fn bucket(arguments: &[&str]) -> Self {
        let server = S3Server::shared().await;
        let prefix = server.prefix();
        let own = server.arguments(&prefix, server.address());
        let own: Vec<_> = own.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        Self::two(tempfile::tempdir().expect("a directory"), Some(prefix), &own).await
    }

    async fn two(directory: TempDir, prefix: Option<String>, arguments: &[&str]) -> Self {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let arguments = [&["--redis", &url], arguments].concat();
        let (one, other) = tokio::join!(Node::start(&arguments), Node::start(&arguments));
        Self { one, other: Some(other), directory, prefix, _redis: Some(redis) }
    }

    /// Another node than the first, where there is one.
    #[must_use]
    pub fn elsewhere(&self) -> &Server {
        self.other.as_ref().unwrap_or(&self.one).server()
    }

    /// Names of all files that lie there, whatever they are.
    pub async fn kept(&self) -> Vec<String> {
        if let Some(prefix) = &self.prefix {
            return S3Server::shared().await.kept(prefix).await;
        }
        let mut kept = Vec::new();
        walk(&self.directory.path().join("data/files"), &mut kept);
        kept
    }

    /// Waits until so many files lie there.
    pub async fn until_kept(&self, count: usize) {
        until(&format!("{count} files"), SOON, async || self.kept().await.len() == count).await;
    }
}

fn walk(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => walk(&entry.path(), found),
            false => found.push(entry.path().display().to_string()),
        }
    }
}

/// A picture of so many pixels, which no two of them share a colour with.
#[must_use]
pub fn picture(width: u32, height: u32) -> RgbImage {
    let noise = |x: u32, y: u32| u8::try_from((x * 7919 + y * 104_729 + x * y) % 251).unwrap_or_default();
    RgbImage::from_fn(width, height, |x, y| Rgb([noise(x, y), noise(y, x), noise(x + 3, y)]))
}

/// A photograph that says where it was taken, and that the camera was held upright.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    use image::ImageEncoder;
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    exif.extend_from_slice(SECRET_PLACE);
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.set_exif_metadata(exif).expect("EXIF");
    encoder.encode_image(&picture(width, height)).expect("a picture");
    bytes
}

/// A picture.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture(width, height)).write_to(&mut bytes, ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

/// What its first bytes call a film, with so many bytes in all.
#[must_use]
pub fn film(bytes: usize) -> Vec<u8> {
    let mut film = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    film.extend((0..).map(|at: u32| at.to_le_bytes()[1]).take(bytes.saturating_sub(film.len())));
    film
}

/// The text, as it stands in a query.
#[must_use]
pub fn written(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Where a file is uploaded by a user, for a conversation.
#[must_use]
pub fn upload_to(user: &str, target: &str, name: &str) -> String {
    let [user, target, name] = [user, target, name].map(written);
    format!("/file/upload?appId={APP}&userId={user}&target={target}&name={name}")
}

/// Uploads a file.
///
/// # Panics
/// When there is no answer.
pub async fn try_upload(server: &Server, user: &str, target: &str, file: &[u8]) -> Answer {
    request(server, "PUT", &upload_to(user, target, "a.bin"), &[], file).await
}

/// Uploads a file and gives what is known of it.
///
/// # Panics
/// When it is refused.
pub async fn upload(server: &Server, user: &str, target: &str, file: &[u8]) -> Value {
    let answer = try_upload(server, user, target, file).await;
    assert_eq!(answer.code(), 200, "{answer:?}");
    answer.json()["data"].clone()
}

/// Asks for a fresh address of a file.
///
/// # Panics
/// When there is no answer.
pub async fn fresh(server: &Server, user: &str, target: &str, file: &Value) -> Answer {
    let asked = json!({"appId": APP, "userId": user, "target": target, "fileId": file["fileId"]});
    post_json(server, "/file/url", asked.to_string()).await
}

/// A fresh address of a file.
///
/// # Panics
/// When it is refused.
pub async fn address(server: &Server, user: &str, target: &str, file: &Value) -> String {
    let answer = fresh(server, user, target, file).await;
    assert_eq!(answer.code(), 200, "{answer:?}");
    url_of(&answer.json()["data"])
}

/// The address in an answer.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn url_of(file: &Value) -> String {
    file["url"].as_str().expect("an address").to_owned()
}

/// Opens an address.
///
/// # Panics
/// When there is no answer.
pub async fn open(server: &Server, url: &str) -> Answer {
    request(server, "GET", url, &[], b"").await
}

/// What a message with this file says.
#[must_use]
pub fn carrying(kind: &str, target: &str, file: &Value) -> Value {
    json!({"target": target, "type": kind, "url": file["url"], "secret": file["secret"], "size": {"width": 1, "height": 1}})
}
