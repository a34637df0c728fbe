//! What only a developer sees of a page: its console, its tree of accessibility, and how it is when the browser is told to
//! be another one.
//!
//! Invariant: it goes by commands of chromedriver's own, which other browsers do not have.

use fantoccini::wd::WebDriverCompatibleCommand;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use crate::browser::Window;

/// A command of chromedriver alone.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// Something that a screen reader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessible {
    /// What it is, such as `button`.
    pub role: String,
    /// What it is called.
    pub name: String,
}

impl Window {
    /// Does a command of the Chrome DevTools Protocol.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        let asked = Command { path: "goog/cdp/execute", body };
        let answer = self.here().await.issue_cmd(asked).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// What the console of the browser said since this was asked the last time, in any of its windows, worse than notes.
    ///
    /// # Panics
    /// When the browser does not tell.
    pub async fn complaints(&self) -> Vec<String> {
        let asked = Command { path: "se/log", body: json!({"type": "browser"}) };
        let said = self.here().await.issue_cmd(asked).await.expect("the console");
        let said = said.as_array().expect("a list").iter();
        let bad = said.filter(|line| ["WARNING", "SEVERE"].iter().any(|level| line["level"] == *level));
        bad.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Lets the page sleep, as the browser does with one that nobody has looked at for long, or wakes it.
    ///
    /// # Panics
    /// When it cannot be done.
    pub async fn sleeps(&self, sleeps: bool) {
        let state = if sleeps { "frozen" } else { "active" };
        self.devtools("Page.setWebLifecycleState", json!({"state": state})).await;
    }

    /// Makes the user of the browser one who prefers this, such as `prefers-color-scheme` `dark`.
    ///
    /// # Panics
    /// When it cannot be done.
    pub async fn prefer(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// What a screen reader finds, in its order.
    ///
    /// # Panics
    /// When the browser does not tell.
    pub async fn accessible(&self) -> Vec<Accessible> {
        let tree = self.devtools("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().expect("a tree").iter().filter(|node| node["ignored"] == false);
        let text = |node: &Value, member: &str| node[member]["value"].as_str().unwrap_or_default().to_owned();
        nodes.map(|node| Accessible { role: text(node, "role"), name: text(node, "name") }).collect()
    }
}
