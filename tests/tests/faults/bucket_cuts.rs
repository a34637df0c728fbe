//! A bucket that is cut off, dies, stalls or is slow in the middle of a file.
//!
//! Invariant: a file is whole or is not there, whoever looks; what comes of one is never wrong, nor seems to be all.

use std::ops::Range;
use std::time::Duration;

use chat_client::{Server, Stream};
use chat_protocol::Code;
use chat_tests::fault_proxy::FaultProxy;
use chat_tests::files::{APP, film, fresh, open, upload, upload_to, url_of};
use chat_tests::node::Node;
use chat_tests::raw_http::{Answer, exchange_within, request};
use chat_tests::s3_server::S3Server;
use chat_tests::wait::{SOON, pace, until};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const MIB: usize = 1024 * 1024;
/// What goes in four parts.
const LONG: usize = 20 * MIB;
/// So much of it goes before something happens: a part, and some of the next.
const SOME: u64 = 7 * 1024 * 1024;
/// How slow the way is meanwhile, each 64 KiB, so that the test is in time.
const SLOW: Duration = Duration::from_millis(20);
/// Longer than the node waits for a bucket that is silent, and than a server takes to come back.
const LATER: Duration = Duration::from_secs(120);
/// What readers want of a film: each much more than has come when something happens.
const RANGES: [Range<usize>; 6] =
    [0..LONG, 0..12 * MIB, MIB..19 * MIB, 5 * MIB..17 * MIB, 8 * MIB + 7..LONG, 8 * MIB..LONG - 1];

/// A node whose files lie in a bucket, on a way there that can be cut. What it knows of them outlives it.
struct Site {
    node: Node,
    way: FaultProxy,
    prefix: String,
    arguments: Vec<String>,
    _directory: TempDir,
}

async fn started(arguments: &[String]) -> Node {
    Node::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

impl Site {
    async fn over(bucket: &S3Server, more: &[&str]) -> Self {
        let (prefix, way) = (bucket.prefix(), FaultProxy::start(bucket.address()).await);
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data").display().to_string();
        let mut arguments = bucket.arguments(&prefix, way.address());
        arguments.extend(["--data-dir".to_owned(), data]);
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        Self { node: started(&arguments).await, way, prefix, arguments, _directory: directory }
    }

    fn server(&self) -> &Server {
        self.node.server()
    }

    /// A film on its way into the bucket, which has a part of it and some of the next.
    async fn sends_half(&self) -> JoinHandle<Option<Answer>> {
        self.way.delay(SLOW);
        let before = self.way.passed_there();
        let sending = tokio::spawn(answered(self.server().clone(), put(self.server(), LONG)));
        until("a part and some", LATER, async || self.way.passed_there() - before > SOME).await;
        assert!(!sending.is_finished(), "there is more to send");
        sending
    }

    /// The same of those who read parts of a film, of which some has come.
    async fn read_some(&self, url: &str) -> Vec<JoinHandle<Option<Answer>>> {
        self.way.delay(SLOW);
        let before = self.way.passed_back();
        let reads = |range: Range<usize>| {
            tokio::spawn(answered(self.server().clone(), get(self.server(), url, &range)))
        };
        let reading: Vec<_> = RANGES.into_iter().map(reads).collect();
        until("some for each", LATER, async || self.way.passed_back() - before > SOME).await;
        reading
    }

    /// The id of the file of which the bucket holds some parts, and nothing that can be read.
    async fn half_kept(&self, bucket: &S3Server) -> String {
        assert_eq!(bucket.uploads(&self.prefix).await, 1);
        let kept = bucket.kept(&self.prefix).await;
        let [mark] = &kept[..] else { panic!("{kept:?}") };
        let id = mark.strip_prefix(&format!("{APP}/")).and_then(|name| name.strip_suffix(".upload"));
        id.unwrap_or_else(|| panic!("{mark}")).to_owned()
    }

    /// Even whoever knows its id, which nobody is told, opens nothing.
    async fn opens_nothing(&self, id: &str) {
        let told = fresh(self.server(), "a", "", &json!({"fileId": id})).await;
        if told.status == 200 {
            let opened = open(self.server(), &url_of(&told.json()["data"])).await;
            assert_eq!(opened.code(), u64::from(Code::NotFound.number()), "{opened:?}");
        } else {
            assert_eq!(told.code(), u64::from(Code::NotFound.number()), "{told:?}");
        }
    }
}

/// What is answered, however long that takes; none when the node closes without a word.
async fn answered(server: Server, request: Vec<u8>) -> Option<Answer> {
    let stream = Stream::open(&server, None).await.expect("the node listens");
    exchange_within(stream, &request, LATER).await
}

/// An upload of so many bytes.
fn put(server: &Server, bytes: usize) -> Vec<u8> {
    let (target, host) = (upload_to("a", "", "a.mp4"), server.authority());
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n"
    );
    [head.into_bytes(), film(bytes)].concat()
}

/// A download of some of it.
fn get(server: &Server, url: &str, range: &Range<usize>) -> Vec<u8> {
    let (host, range) = (server.authority(), bytes_of(range));
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\nRange: {range}\r\nConnection: close\r\n\r\n").into_bytes()
}

fn bytes_of(range: &Range<usize>) -> String {
    format!("bytes={}-{}", range.start, range.end - 1)
}

/// What an exchange came to; it may be nothing.
async fn end_of(exchange: JoinHandle<Option<Answer>>) -> Option<Answer> {
    exchange.await.expect("no panic")
}

async fn answer_of(exchange: JoinHandle<Option<Answer>>) -> Answer {
    end_of(exchange).await.expect("an answer")
}

/// Whether it was refused because the store does not answer, which may be tried again.
fn is_away(answer: &Answer) -> bool {
    answer.status == 503
        && answer.code() == u64::from(Code::StoreUnreachable.number())
        && answer.reason().contains("(files)")
        && answer.reason().contains("safe to retry")
}

/// What a reader still lacks, who sees that from the answer alone.
fn lacking(answer: Option<&Answer>, range: Range<usize>, whole: &[u8]) -> Range<usize> {
    let Some(answer) = answer.filter(|answer| !is_away(answer)) else { return range };
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-length"), (range.end - range.start).to_string());
    let came = answer.bytes.len();
    assert!(came <= range.len(), "{came} bytes of {range:?}");
    assert!(answer.bytes == whole[range.start..range.start + came], "wrong bytes of {range:?}");
    range.start + came..range.end
}

#[tokio::test]
async fn an_upload_that_is_cut_in_a_part_leaves_nothing_to_open_and_succeeds_when_it_is_repeated() {
    let bucket = S3Server::shared().await;
    let site = Site::over(bucket, &[]).await;
    let sending = site.sends_half().await;
    site.way.cut();
    let refused = answer_of(sending).await;
    assert!(is_away(&refused), "{refused:?}");
    assert!(refused.json()["data"].is_null(), "there is nothing that a message could carry: {refused:?}");
    site.way.heal();
    site.opens_nothing(&site.half_kept(bucket).await).await;
    let file = upload(site.server(), "a", "", &film(LONG)).await;
    let opened = open(site.server(), &url_of(&file)).await;
    assert!(opened.status == 200 && opened.bytes == film(LONG), "{} bytes", opened.bytes.len());
}

#[tokio::test]
async fn what_a_killed_node_was_putting_into_a_bucket_is_removed() {
    // Of a file that nobody was told of no more is left after a while.
    let brief = ["--file-upload-timeout", "20s", "--file-unsent-life", "20s"];
    let bucket = S3Server::shared().await;
    let mut site = Site::over(bucket, &brief).await;
    let sending = site.sends_half().await;
    site.node.kill();
    site.way.heal();
    assert!(end_of(sending).await.is_none(), "it is not answered");
    let id = site.half_kept(bucket).await;
    site.node = started(&site.arguments).await;
    site.opens_nothing(&id).await;
    let is_empty =
        async || bucket.uploads(&site.prefix).await == 0 && bucket.kept(&site.prefix).await.is_empty();
    until("an empty bucket", LATER, is_empty).await;
    site.opens_nothing(&id).await;
}

#[tokio::test]
async fn a_download_from_a_bucket_that_dies_is_whole_or_seen_to_be_cut() {
    let mut bucket = S3Server::start().await;
    let site = Site::over(&bucket, &[]).await;
    let whole = film(LONG);
    let url = url_of(&upload(site.server(), "a", "", &whole).await);
    for with_its_machine in [true, false] {
        let reading = site.read_some(&url).await;
        bucket.kill();
        if with_its_machine {
            // What was on its way is lost as well, and it is away for longer than the node tries.
            site.way.cut();
            until("an end", LATER, async || reading.iter().any(JoinHandle::is_finished)).await;
        }
        site.way.heal();
        bucket.restart().await;
        let mut missing = Vec::new();
        for (range, reading) in RANGES.into_iter().zip(reading) {
            missing.push(lacking(end_of(reading).await.as_ref(), range, &whole));
        }
        missing.retain(|range| !range.is_empty());
        assert!(!with_its_machine || !missing.is_empty(), "nobody missed it");
        until("the bucket", LATER, async || open(site.server(), &url).await.bytes == whole).await;
        for range in missing {
            let rest = bytes_of(&range);
            let answer = request(site.server(), "GET", &url, &[("Range", rest.as_str())], b"").await;
            assert!(answer.status == 206 && answer.bytes == whole[range], "the rest comes by its range");
        }
    }
}

#[tokio::test]
async fn an_upload_waits_for_a_bucket_that_is_slow() {
    let site = Site::over(S3Server::shared().await, &[]).await;
    let under_way = site.sends_half().await;
    site.way.stall();
    let begun = tokio::spawn(answered(site.server().clone(), put(site.server(), 5000)));
    pace(Duration::from_secs(4)).await;
    assert!(!under_way.is_finished() && !begun.is_finished(), "nothing is said of what is not done");
    site.way.heal();
    for (sending, bytes) in [(under_way, LONG), (begun, 5000)] {
        let taken = answer_of(sending).await;
        assert_eq!(taken.code(), 200, "{taken:?}");
        let opened = open(site.server(), &url_of(&taken.json()["data"])).await;
        assert!(opened.status == 200 && opened.bytes == film(bytes), "{} bytes", opened.bytes.len());
    }
}

#[tokio::test]
async fn a_download_from_a_bucket_that_falls_silent_is_cut() {
    let site = Site::over(S3Server::shared().await, &[]).await;
    let whole = film(LONG);
    let url = url_of(&upload(site.server(), "a", "", &whole).await);
    let reading = site.read_some(&url).await;
    site.way.stall();
    // Whoever comes now hears it.
    let late = tokio::spawn(answered(site.server().clone(), get(site.server(), &url, &(0..LONG))));
    for (range, reading) in RANGES.into_iter().zip(reading) {
        let missing = lacking(end_of(reading).await.as_ref(), range, &whole);
        assert!(!missing.is_empty(), "not all of it had come");
    }
    let late = answer_of(late).await;
    assert!(is_away(&late), "{late:?}");
    let is_told = async || site.node.log().contains("a file that was being sent is cut");
    until("a word in the log", SOON, is_told).await;
    site.way.heal();
    until("the bucket", LATER, async || open(site.server(), &url).await.bytes == whole).await;
}
