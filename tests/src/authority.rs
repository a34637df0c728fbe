//! An authority of a test, and the certificates that it makes for a node on this host.
//!
//! Invariant: it lives for one test, and vouches for `localhost` and 127.0.0.1 alone.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::node::Node;

/// Makes certificates, and keeps the one of a node in two files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The certificate, that of the authority behind it.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// How a node is reached.
pub enum Way {
    /// As it is.
    Plain,
    /// Over TLS, with a certificate of this authority.
    Tls(Box<Authority>),
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one, with a certificate for a node in its files.
    ///
    /// # Panics
    /// When there is no place for the files.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let authority = Self { issuer, directory: tempfile::tempdir().expect("a directory") };
        authority.write("ca.pem", &authority.issuer.pem());
        authority.renew();
        authority
    }

    /// A certificate that ends with this year.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn made_until(&self, year: i32) -> Made {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("two names");
        params.not_after = date_time_ymd(year + 1, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let own = params.signed_by(&key, &self.issuer).expect("a certificate");
        Made { certificate: own.pem() + &self.issuer.pem(), key: key.serialize_pem() }
    }

    /// Puts another certificate and its key into the files, and gives them.
    pub fn renew(&self) -> Made {
        let made = self.made_until(2099);
        self.write("cert.pem", &made.certificate);
        self.write("key.pem", &made.key);
        made
    }

    /// Replaces a file at once, as those do who take care.
    ///
    /// # Panics
    /// When there is no room.
    pub fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(&new, self.path(name)).expect("renamed");
    }

    /// A file of this name: `ca.pem`, `cert.pem`, `key.pem`, or another.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The certificate that vouches for all it makes.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// What makes a node serve with what is in the files.
    #[must_use]
    pub fn arguments(&self) -> [String; 4] {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| text(&self.path(name)));
        ["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key]
    }
}

impl Way {
    /// Over TLS.
    #[must_use]
    pub fn tls() -> Self {
        Self::Tls(Box::default())
    }

    /// A node in memory that is reached so.
    pub async fn node(&self, arguments: &[&str]) -> Node {
        match self {
            Self::Plain => Node::ephemeral(arguments).await,
            Self::Tls(authority) => Node::secure(authority, arguments).await,
        }
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Makes of each `async fn(Way)` one test as `plain::…` and one as `tls::…`.
#[macro_export]
macro_rules! over_plain_and_tls {
    ($($test:ident),+ $(,)?) => {
        mod plain {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::authority::Way::Plain).await;
            })+
        }
        mod tls {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::authority::Way::tls()).await;
            })+
        }
    };
}
