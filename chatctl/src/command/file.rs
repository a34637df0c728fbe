//! `chatctl file`: the files of a conversation: uploaded, opened, compared with what chatd says of them.
//!
//! Invariant: a file is written under the name that the line says, and never under one that a server says.
//!
//! | module | holds |
//! |---|---|
//! | `landing` | how it comes to lie there |

mod landing;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_client::{Error, Http};
use chat_protocol::file::{
    About, FILE_PATH, MAX_FILE_NAME_BYTES, Upload, UploadRequest, Uploaded, Url, UrlRequest, UrlResponse,
};
use chat_protocol::operation::{Effect, Operation};
use chat_protocol::{Span, Target, UserId};
use clap::Subcommand;
use sha2::{Digest, Sha256};

use self::landing::Landing;
use crate::calendar::moment;
use crate::exit::Exit;
use crate::failure::{Failure, plain};
use crate::operator::{Operator, Rehearsed};
use crate::report::{Cell, Report};

/// Bytes of a file that is uploaded at most, because it is in memory for a moment.
const MAX_UPLOAD: u64 = 1024 * 1024 * 1024;

/// Bytes of a file that are read at a time.
const PIECE: usize = 64 * 1024;

/// Shown below the help of the noun.
pub const EXAMPLES: &str = "\
Examples:
  chatctl --app 101 --as 马超 file upload group:tea photo.jpg
  chatctl --app 101 --as 黄帝 file url group:tea FILE_ID
  chatctl --app 101 --as 黄帝 file get group:tea FILE_ID photo.jpg
  chatctl --app 101 --as 黄帝 file verify group:tea FILE_ID";

const UPLOAD: &str = "\
The file is for those of the conversation only, and goes after an hour unless
a message of the user carries it: its url is the text of such a message. What
it is chatd finds out from its content.

Examples:
  chatctl --app 101 --as 马超 file upload group:tea photo.jpg
  chatctl --app 101 --as 马超 file upload '' film.mp4 --name 'the gate.mp4' -o json
  URL=$(chatctl --app 101 --as 马超 file upload user:黄帝 a.png -o json | jq -r .url)
  chatctl --app 101 api /user/sendMessage userId=黄帝 from=马超 type=img message=\"$URL\"";

const ADDRESS: &str = "\
The address opens the file for this user alone, and for a while.

Examples:
  chatctl --app 101 --as 黄帝 file url group:tea FILE_ID
  chatctl --app 101 --as 黄帝 file url group:tea FILE_ID -o json";

const GET: &str = "\
Examples:
  chatctl --app 101 --as 黄帝 file get group:tea FILE_ID photo.jpg
  chatctl --app 101 --as 黄帝 file get group:tea FILE_ID - --thumbnail | display";

const VERIFY: &str = "\
Without FILE the content is fetched. Exit code 1 when it is another one.

Examples:
  chatctl --app 101 --as 黄帝 file verify group:tea FILE_ID
  chatctl --app 101 --as 黄帝 file verify group:tea FILE_ID photo.jpg";

/// Which file.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The conversation: "" for the world, group:ID or user:NAME
    #[arg(value_name = "TARGET")]
    target: Target,
    /// The file, as its upload told, or the address in a message
    #[arg(value_name = "FILE_ID")]
    file_id: String,
}

/// What to do with files.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Upload a file for a conversation
    #[command(after_help = UPLOAD)]
    Upload {
        /// The conversation: "" for the world, group:ID or user:NAME
        #[arg(value_name = "TARGET")]
        target: Target,
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Its name for those who save it [default: that of FILE]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// How long it may take
        #[arg(long, value_name = "DURATION", default_value = "10m")]
        within: Span,
    },
    /// A fresh address of a file
    #[command(after_help = ADDRESS)]
    Url(Which),
    /// Write a file to FILE, or to standard output
    #[command(after_help = GET)]
    Get {
        #[command(flatten)]
        which: Which,
        /// Where to; - for standard output
        #[arg(value_name = "FILE|-")]
        to: PathBuf,
        /// The smaller picture
        #[arg(long)]
        thumbnail: bool,
        /// How long it may take
        #[arg(long, value_name = "DURATION", default_value = "10m")]
        within: Span,
    },
    /// Whether a file is what chatd says it is
    #[command(after_help = VERIFY)]
    Verify {
        #[command(flatten)]
        which: Which,
        /// A copy that lies here
        #[arg(value_name = "FILE")]
        copy: Option<PathBuf>,
        /// How long it may take
        #[arg(long, value_name = "DURATION", default_value = "10m")]
        within: Span,
    },
}

/// Runs the command.
pub async fn run(verb: Verb, operator: &Operator) -> Result<Exit, Failure> {
    let user_id = operator.settings.acting()?;
    match verb {
        Verb::Upload { target, file, name, within } => {
            let own = || file.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.or_else(own);
            let name = name.filter(|name| !name.is_empty()).map(|name| short(&name));
            let request = UploadRequest { app_id: operator.settings.app()?, user_id, target, name };
            upload(request, &file, within.get(), operator).await
        }
        Verb::Url(which) => {
            let request = asked(which, user_id, operator)?;
            operator.carry_out::<Url>(&request, |found| addressed(&request.file_id, &found)).await
        }
        Verb::Get { which, to, thumbnail, within } => {
            get(asked(which, user_id, operator)?, &to, (thumbnail, within.get()), operator).await
        }
        Verb::Verify { which, copy, within } => {
            verify(asked(which, user_id, operator)?, copy.as_deref(), within.get(), operator).await
        }
    }
}

/// As much of a name as may be sent.
fn short(name: &str) -> String {
    let mut end = name.len().min(MAX_FILE_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

fn asked(which: Which, user_id: UserId, operator: &Operator) -> Result<UrlRequest, Failure> {
    let named = which.file_id.strip_prefix(FILE_PATH).unwrap_or(&which.file_id);
    let file_id = named.split('?').next().unwrap_or_default().to_owned();
    Ok(UrlRequest { app_id: operator.settings.app()?, user_id, target: which.target, file_id })
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    let name = path.to_string_lossy();
    let shown = chat_protocol::secret::file(&name);
    Failure::usage(
        format!("cannot use {shown}: {}", plain(&error.to_string())),
        "give a file that can be used",
    )
}

async fn upload(
    request: UploadRequest,
    path: &Path,
    within: Duration,
    operator: &Operator,
) -> Result<Exit, Failure> {
    let refused = |error: std::io::Error| unusable(path, &error);
    let file = File::open(path).map_err(refused)?;
    if operator.settings.dry_run {
        let body = serde_json::to_value(&request).unwrap_or_default();
        let url = operator.settings.server.url(Upload::PATH).into();
        return operator.rehearse(&[Rehearsed { method: "PUT", url, body }]);
    }
    let mut content = Vec::new();
    file.take(MAX_UPLOAD + 1).read_to_end(&mut content).map_err(refused)?;
    if content.len() as u64 > MAX_UPLOAD {
        return Err(Failure::usage("the file is larger than 1 GiB", "chatd takes no such file"));
    }
    let http = operator.http()?;
    let sending = || http.upload(&request, content.clone(), within);
    let uploaded = operator.insist(Upload::PATH, Effect::Reads, sending).await?;
    operator.print(&taken(&uploaded))?;
    Ok(Exit::Done)
}

/// A fresh address, and what is behind it.
async fn found(request: &UrlRequest, http: &Http, operator: &Operator) -> Result<UrlResponse, Failure> {
    operator.call::<Url>(http, request).await
}

async fn get(
    request: UrlRequest,
    to: &Path,
    (thumbnail, within): (bool, Duration),
    operator: &Operator,
) -> Result<Exit, Failure> {
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Url>(&request)]);
    }
    let is_stdout = to.as_os_str() == "-";
    if is_stdout && operator.console.is_terminal() {
        return Err(Failure::usage(
            "a terminal shows no file",
            "name a file instead of -, or a pipe behind it",
        ));
    }
    let http = operator.http()?;
    let found = found(&request, &http, operator).await?;
    let url = if thumbnail { format!("{}&part=thumbnail", found.url) } else { found.url };
    if is_stdout {
        let mut gone = false;
        let written = http.open(&url, within, |piece| match operator.console.bytes(piece) {
            Ok(true) => Ok(()),
            Ok(false) => {
                gone = true;
                Err(None)
            }
            Err(failure) => Err(Some(failure)),
        });
        return match written.await? {
            Err(Some(failure)) => Err(failure),
            _ => Ok(Exit::Done),
        };
    }
    let refused = |error: std::io::Error| unusable(to, &error);
    // Nothing is made before there is something to write.
    let mut landing: Option<Landing> = None;
    let written = http.open(&url, within, |piece| {
        if landing.is_none() {
            landing = Some(Landing::begin(to)?);
        }
        landing.as_mut().map_or(Ok(()), |landing| landing.write_all(piece))
    });
    written.await?.map_err(refused)?;
    landing.map_or(Ok(()), Landing::end).map_err(refused)?;
    operator.console.note(&format!("{} written", to.display()));
    Ok(Exit::Done)
}

async fn verify(
    request: UrlRequest,
    copy: Option<&Path>,
    within: Duration,
    operator: &Operator,
) -> Result<Exit, Failure> {
    if operator.settings.dry_run {
        return operator.rehearse(&[operator.rehearsed::<Url>(&request)]);
    }
    let http = operator.http()?;
    let UrlResponse { url, about, .. } = found(&request, &http, operator).await?;
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    match copy {
        None => {
            let read = http.open(&url, within, |piece| {
                digest.update(piece);
                bytes += piece.len() as u64;
                Ok::<_, Error>(())
            });
            read.await??;
        }
        Some(path) => {
            let read = digested(path, &mut digest);
            bytes = read.map_err(|error| unusable(path, &error))?;
        }
    }
    let sha256: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let is_same = sha256 == about.sha256 && bytes == about.bytes;
    let words = if is_same { "it is what chatd says it is" } else { "it is another one than chatd says" };
    let report = Report::record([
        ("fileId", "file", request.file_id.as_str().into()),
        ("same", "same", is_same.into()),
        ("bytes", "bytes", bytes.into()),
        ("sha256", "sha256", sha256.into()),
    ]);
    operator.print(&report.in_words(vec![words.to_owned()]))?;
    Ok(if is_same { Exit::Done } else { Exit::Refused })
}

/// Reads all of a file, piece by piece; gives its length.
fn digested(path: &Path, digest: &mut Sha256) -> std::io::Result<u64> {
    let (mut file, mut piece, mut bytes) = (File::open(path)?, vec![0; PIECE], 0);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(bytes),
            count => {
                digest.update(&piece[..count]);
                bytes += count as u64;
            }
        }
    }
}

fn taken(uploaded: &Uploaded) -> Report {
    let file = Cell::from(uploaded.file_id.as_str());
    let until = Cell::from(uploaded.expires).shown_as(moment(uploaded.expires));
    let report = Report::record([
        ("fileId", "file", file),
        ("url", "url", uploaded.url.as_str().into()),
        ("secret", "secret", uploaded.secret.as_str().into()),
        ("expires", "until", until),
    ]);
    described(report, &uploaded.about)
}

fn addressed(file_id: &str, found: &UrlResponse) -> Report {
    let until = Cell::from(found.expires).shown_as(moment(found.expires));
    let report = Report::record([
        ("fileId", "file", file_id.into()),
        ("url", "url", found.url.as_str().into()),
        ("expires", "until", until),
    ]);
    described(report, &found.about)
}

fn described(report: Report, about: &About) -> Report {
    let size = about.size.map(|size| format!("{}×{}", size.width, size.height));
    report
        .with("name", "name", about.name.as_str().into())
        .with("type", "type", about.kind.as_str().into())
        .with("contentType", "content", about.content_type.as_str().into())
        .with("bytes", "bytes", about.bytes.into())
        .with("sha256", "sha256", about.sha256.as_str().into())
        .with(
            "size",
            "size",
            Cell::from(serde_json::json!(about.size)).shown_as(size.unwrap_or_else(|| "-".to_owned())),
        )
        .with("thumbnail", "thumbnail", about.thumbnail.into())
}
