//! A SeaweedFS that belongs to one test, or to all tests of a process: a server that speaks S3 over the network.
//!
//! Invariant: it listens on loopback only, has a bucket, a key and files of its own, and ends with the value or, whatever
//! happens, with the test process.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use chat_client::Server;
use futures_util::TryStreamExt;
use http::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Name;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::raw_http::{Answer, request};
use crate::redis_server::free_port;

/// The bucket there is.
pub const BUCKET: &str = "chat";
/// Who may do everything with it.
const KEY: (&str, &str) = ("chatd-of-the-tests", "Geheimnis/der+Tests=");
/// Who may only read.
const READER: (&str, &str) = ("reader-of-the-tests", "Geheimnis/der+Leser=");
/// Longest wait for it to start, generous because machines are shared.
const BOOT: Duration = Duration::from_secs(90);

/// A server of the tests' own.
pub struct S3Server {
    /// Of S3; then of its master, volumes and filer. Each has a second one for gRPC.
    ports: [u16; 8],
    home: PathBuf,
    keeper: Option<Child>,
    prefixes: AtomicU32,
}

impl S3Server {
    /// A server for this test alone. It keeps over a restart whatever it answered.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        assert!(program().exists(), "SeaweedFS is missing: run scripts/services install s3");
        let mut why = String::new();
        // Another process may take a port between its choice and the start of the server.
        for _ in 0..3 {
            let mut server = Self::new();
            match server.boots(BOOT / 3).await {
                Ok(()) => return server,
                Err(error) => why = error,
            }
        }
        panic!("SeaweedFS does not start: {why}");
    }

    fn new() -> Self {
        let home = TempDir::with_prefix("s3-").expect("a temporary directory").keep();
        let server = Self {
            ports: std::array::from_fn(|_| free_port()),
            home,
            keeper: None,
            prefixes: AtomicU32::new(0),
        };
        let identity = |(id, secret): (&str, &str), actions: &[&str]| serde_json::json!({"name": id, "credentials": [{"accessKey": id, "secretKey": secret}], "actions": actions});
        let all = ["Admin", "Read", "List", "Tagging", "Write"];
        let identities = [identity(KEY, &all), identity(READER, &all[1..3])];
        let known = serde_json::json!({"identities": identities}).to_string();
        std::fs::write(server.home.join("s3.json"), known).expect("written");
        std::fs::write(server.home.join("secret"), KEY.1).expect("written");
        server
    }

    /// The server of all tests of this process that do it no harm.
    pub async fn shared() -> &'static Self {
        static SERVER: OnceCell<S3Server> = OnceCell::const_new();
        SERVER.get_or_init(Self::start).await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0]))
    }

    /// A part of the bucket that no other test knows, as the name of a path.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("site{}", self.prefixes.fetch_add(1, Relaxed))
    }

    /// What makes a chatd keep its files under this prefix, by way of whoever listens at the address.
    #[must_use]
    pub fn arguments(&self, prefix: &str, at: SocketAddr) -> Vec<String> {
        let secret = self.home.join("secret").display().to_string();
        let (place, endpoint) = (format!("s3://{BUCKET}/{prefix}"), format!("http://{at}"));
        let words = ["--files", &place, "--s3-endpoint", &endpoint, "--s3-access-key", KEY.0];
        let words = words.into_iter().chain(["--s3-secret-key-file", &secret]);
        words.map(str::to_owned).collect()
    }

    /// The same as somebody who may only read; with the secret of another it is who they are not.
    #[must_use]
    pub fn reader(&self) -> (&'static str, &'static str) {
        READER
    }

    /// Ends the process at once (SIGKILL) and keeps its files.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.end("keep\n");
    }

    /// Starts it again on the same port, after killing it if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.boots(BOOT).await.unwrap_or_else(|why| panic!("SeaweedFS does not come back: {why}"));
    }

    async fn boots(&mut self, patience: Duration) -> Result<(), String> {
        self.kill();
        self.spawn();
        let deadline = Instant::now() + patience;
        while let Err(why) = self.takes().await {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
                return Err(format!("{why}\n{log}"));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Names of all that lies under a prefix, without it.
    ///
    /// # Panics
    /// When the server does not tell.
    pub async fn kept(&self, prefix: &str) -> Vec<String> {
        let (client, prefix) = (self.client(), Name::from(prefix));
        let listed: Vec<_> = client.list(Some(&prefix)).try_collect().await.expect("a list");
        let name = |name: &Name| {
            name.as_ref().trim_start_matches(prefix.as_ref()).trim_start_matches('/').to_owned()
        };
        listed.iter().map(|object| name(&object.location)).collect()
    }

    /// How many uploads in parts are under way under a prefix, or were left.
    ///
    /// # Panics
    /// When the server does not tell.
    pub async fn uploads(&self, prefix: &str) -> usize {
        let answer = self.ask(Method::GET, &[("uploads", "")]).await.expect("a list");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.matches(&format!("<Key>{prefix}/")).count()
    }

    /// Asks about the bucket itself.
    async fn ask(&self, method: Method, query: &[(&str, &str)]) -> Result<Answer, String> {
        let options = SignedUrlOptions::default().with_query(query.iter().copied());
        let name = method.as_str().to_owned();
        let minute = Duration::from_secs(60);
        let url = self.client().signed_url_opts(method, &Name::default(), minute, &options).await;
        let url = url.map_err(|error| error.to_string())?;
        let server: Server = format!("http://{}", self.address()).parse().expect("an address");
        let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        Ok(request(&server, &name, &target, &[], b"").await)
    }

    /// Whether it has the bucket and takes objects.
    async fn takes(&self) -> Result<(), String> {
        tokio::net::TcpStream::connect(self.address()).await.map_err(|error| error.to_string())?;
        let made = self.ask(Method::PUT, &[]).await?;
        if ![200, 409].contains(&made.status) {
            return Err(format!("{made:?}"));
        }
        let (client, probe) = (self.client(), Name::from("probe"));
        client.put(&probe, "probe".into()).await.map_err(|error| error.to_string())?;
        client.delete(&probe).await.map_err(|error| error.to_string())
    }

    fn client(&self) -> AmazonS3 {
        chatd::tls::provide();
        let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_allow_http(true);
        let builder = builder.with_endpoint(format!("http://{}", self.address()));
        let keyed = builder.with_access_key_id(KEY.0).with_secret_access_key(KEY.1);
        keyed.build().expect("a client")
    }

    fn end(&mut self, order: &str) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let mut stdin = keeper.stdin.take().expect("a pipe");
        stdin.write_all(order.as_bytes()).expect("the keeper listens");
        drop(stdin);
        keeper.wait().expect("the keeper ends");
    }

    fn spawn(&mut self) {
        let [s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = self.ports;
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("s3_server.sh"), "sh"]).arg(program());
        command.args([
            "-logtostderr",
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-dir=.",
            "-filer",
            "-s3",
        ]);
        command.args([
            "-s3.config=s3.json",
            "-s3.autoCreateBucket=false",
            "-s3.iam=false",
            "-s3.port.iceberg=0",
        ]);
        command.args(["-s3.port.lance=0", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"]);
        command.args(["-master.electionTimeout=1s", "-volume.max=20", "-volume.preStopSeconds=0"]);
        for (part, port) in [
            ("s3", s3),
            ("s3.grpc", s3_grpc),
            ("master", master),
            ("master.grpc", master_grpc),
            ("volume", volume),
            ("volume.grpc", volume_grpc),
            ("filer", filer),
            ("filer.grpc", filer_grpc),
        ] {
            let flag =
                part.split_once('.').map_or(format!("{part}.port"), |(part, _)| format!("{part}.port.grpc"));
            command.arg(format!("-{flag}={port}"));
        }
        // A signal for the tests' process group leaves the keeper time to clean up.
        command.current_dir(&self.home).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keeper = Some(command.spawn().expect("sh"));
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.end("");
    }
}

/// Where scripts/services puts it.
fn program() -> PathBuf {
    chat_tidy::root().join("target/seaweedfs/bin/weed")
}
