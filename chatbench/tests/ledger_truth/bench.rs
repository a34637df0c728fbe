//! Running chatbench in process against the double and reading its result.
//!
//! Invariant: a test sees what an operator sees: exit code, text, and the JSON file.

use std::time::Duration;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::double::{Double, Fault, World};
use crate::schema;

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    /// Exit code.
    pub code: u8,
    /// Standard output, unfolded.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The JSON result; null when there is none.
    pub json: Value,
}

/// Runs a scenario against a double with these faults. The result, if there is one, conforms to the schema.
pub async fn bench(line: &str, faults: &[Fault]) -> Ran {
    bench_until(line, faults, std::future::pending()).await
}

/// As [`bench`], and the operator stops it as soon as the server's world is `ripe`.
pub async fn bench_when(line: &str, faults: &[Fault], ripe: fn(&World) -> bool) -> Ran {
    let double = Double::start(faults).await;
    let world = double.world.clone();
    let interrupt = async move {
        while !ripe(&world.lock().unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    against(&double, line, interrupt).await
}

/// As [`bench`], and `interrupt` plays Ctrl-C.
pub async fn bench_until(
    line: &str,
    faults: &[Fault],
    interrupt: impl Future<Output = ()> + Send + 'static,
) -> Ran {
    against(&Double::start(faults).await, line, interrupt).await
}

/// As [`bench`], in this world.
pub async fn bench_in(double: &Double, line: &str) -> Ran {
    against(double, line, std::future::pending()).await
}

async fn against(double: &Double, line: &str, interrupt: impl Future<Output = ()> + Send + 'static) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    let mut args: Vec<String> = format!("chatbench {line}").split(' ').map(str::to_owned).collect();
    let [first, second] = double.addresses;
    args.extend(["--server".to_owned(), format!("http://{first},http://{second}")]);
    args.extend(["--out".to_owned(), file.display().to_string()]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = chatbench::run_until(args, &mut out, &mut err, interrupt).await;
    let json = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Err(_) => Value::Null,
    };
    if !json.is_null() {
        schema::check(&json);
        assert_eq!(json["exit_code"], code);
    }
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    Ran { code, out: unfolded(&out), err, json }
}

/// A text for a terminal, which has 80 columns, with each statement in one line.
pub fn unfolded(text: &str) -> String {
    let too_wide = text.lines().find(|line| line.width() > 79);
    assert_eq!(too_wide, None, "a terminal has 80 columns");
    text.replace(&format!("\n{}", " ".repeat(13)), " ")
}

impl Ran {
    /// A count of the ledger, warm-up and measured part together.
    pub fn count(&self, name: &str) -> u64 {
        self.part("warmup", name) + self.part("measured", name)
    }

    /// A count of one part of the ledger.
    pub fn part(&self, part: &str, name: &str) -> u64 {
        self.json["ledger"][part][name].as_u64().unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    /// A count beside the parts.
    pub fn beside(&self, name: &str) -> u64 {
        self.json["ledger"][name].as_u64().unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    /// A count of the part about chaos.
    pub fn chaos(&self, name: &str) -> u64 {
        self.json["chaos"][name].as_u64().unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    /// A count of the part about the history.
    pub fn history(&self, name: &str) -> u64 {
        self.json["history"][name].as_u64().unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    /// The run broke nothing. A machine too busy for it may have made it invalid (96): that judges the machine.
    pub fn assert_nothing_broke(&self) {
        assert!(self.code == 0 || self.code == 96, "{}\n{}", self.out, self.err);
        assert!(self.count("accepted") > 0, "{}", self.out);
        for name in ["lost", "duplicated", "reordered", "disconnected", "unanswered", "refused"] {
            assert_eq!(self.count(name), 0, "{name}\n{}", self.out);
        }
        for name in ["unexpected", "stray", "corrupted", "misnumbered", "foreign"] {
            assert_eq!(self.beside(name), 0, "{name}\n{}", self.out);
        }
        assert_eq!(self.count("delivered"), self.count("expected"), "{}", self.out);
    }
}
