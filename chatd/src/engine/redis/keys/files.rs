//! Names of what there is of files.
//!
//! Invariant: as of all names: see the table of the module above.

use chat_protocol::{AppId, GroupId};

use super::Keys;

/// How the name begins under which what a dismissed group had stands among the ends of files; that of a file does not.
pub const OVER: &str = "over:";

impl Keys {
    /// Text that says what a file is.
    #[must_use]
    pub fn file(&self, app: AppId, id: &str) -> String {
        self.of_app(app, &format!("file:{id}"))
    }

    /// Hash of the bytes of files by owner, and of all.
    #[must_use]
    pub fn file_bytes(&self, app: AppId) -> String {
        self.of_app(app, "file-bytes")
    }

    /// Sorted set of files that end, and of what dismissed groups had, by that moment.
    #[must_use]
    pub fn file_ends(&self, app: AppId) -> String {
        self.of_app(app, "file-ends")
    }

    /// Set of the files of a group.
    #[must_use]
    pub fn files_of(&self, app: AppId, group: &GroupId) -> String {
        self.of_app(app, &format!("files:{group}"))
    }

    /// Set of the files that a dismissed group had; `name`, which begins with [`OVER`], stands among the ends.
    #[must_use]
    pub fn files_over(&self, app: AppId, name: &str) -> String {
        self.of_app(app, &format!("files-{name}"))
    }

    /// Set of the apps that ever had a file.
    #[must_use]
    pub fn file_apps(&self) -> String {
        self.of_nodes("file-apps")
    }

    /// What addresses of files are signed with.
    #[must_use]
    pub fn file_secret(&self) -> String {
        self.of_nodes("file-secret")
    }
}
