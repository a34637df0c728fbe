//! A real browser of a test: Debian's chromium without a screen, steered by its own chromedriver.
//!
//! Invariant: keys and clicks go the way of a user's, through the browser's input; both programs end with the value.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait::{SOON, pace};

/// How often chromedriver is started until it finds a port.
const DRIVER_TRIES: usize = 5;

/// A chromium that a test drives.
pub struct Browser {
    driver: Child,
    profile: TempDir,
    client: Client,
}

/// A window of a [`Browser`], at its page.
pub struct Window {
    client: Client,
    handle: WindowHandle,
}

impl Browser {
    /// A browser with a profile of its own.
    ///
    /// # Panics
    /// When chromium and chromedriver are not installed or do not start.
    pub async fn start() -> Self {
        let starting = tokio::task::spawn_blocking(start_driver);
        let (driver, port) = starting.await.expect("chromedriver starts");
        let profile = tempfile::tempdir().expect("a temporary directory");
        // Root may not use the sandbox, and a small machine has no room in /dev/shm.
        let arguments = json!({"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": [
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--lang=zh-CN", "--accept-lang=zh-CN", "--mute-audio",
            format!("--user-data-dir={}", profile.path().display()),
        ]}});
        let Value::Object(capabilities) = arguments else { unreachable!("it is written as one") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let address = format!("http://127.0.0.1:{port}");
        let client = builder.capabilities(capabilities).connect(&address).await.expect("chromium starts");
        Self { driver, profile, client }
    }

    /// A new window with an address.
    ///
    /// # Panics
    /// When the address cannot be opened.
    pub async fn window(&self, url: &str) -> Window {
        let window = self.empty().await;
        window.go(url).await;
        window
    }

    /// A new window with nothing in it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn empty(&self) -> Window {
        let handle = self.client.new_window(false).await.expect("a window").handle;
        Window { client: self.client.clone(), handle }
    }

    /// A window in which a user has entered a world.
    ///
    /// # Panics
    /// When the page does not get online.
    pub async fn enter(&self, server: impl std::fmt::Display, app: u32, user: &str) -> Window {
        let window = self.empty().await;
        window.enter(server, app, user).await;
        window
    }

    /// The same in a browser that a script has changed before the page's own run.
    ///
    /// # Panics
    /// As [`Browser::enter`], or when the browser takes no such script.
    pub async fn enter_with(
        &self,
        script: &str,
        server: impl std::fmt::Display,
        app: u32,
        user: &str,
    ) -> Window {
        let window = self.empty().await;
        window.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
        window.enter(server, app, user).await;
        window
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // The driver's end is not the browser's; the profile tells which browser is this one.
        let profile = self.profile.path().display().to_string();
        let Ok(processes) = procfs::process::all_processes() else { return };
        for process in processes.filter_map(Result::ok) {
            if process.cmdline().is_ok_and(|words| words.iter().any(|word| word.contains(&profile))) {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
        }
    }
}

impl Window {
    pub(crate) async fn here(&self) -> &Client {
        self.client.switch_to_window(self.handle.clone()).await.expect("the window is there");
        &self.client
    }

    async fn enter(&self, server: impl std::fmt::Display, app: u32, user: &str) {
        self.go(&format!("{server}/home/index?appId={app}&userId={user}")).await;
        self.until("document.getElementById('state').dataset.state === 'online'").await;
    }

    /// Opens its address anew, as a reload does.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn enter_again(&self) {
        self.here().await.refresh().await.expect("the page opens");
    }

    /// Opens an address.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn go(&self, url: &str) {
        self.here().await.goto(url).await.expect("the page opens");
    }

    /// Makes the window so many CSS pixels wide and high inside.
    ///
    /// # Panics
    /// When it stays otherwise.
    pub async fn resize(&self, width: u32, height: u32) {
        // No frame at the sides; and a window reports no width below 500, however narrow its page is.
        let bars = self.run("return outerHeight - innerHeight").await;
        let bars = u32::try_from(bars.as_u64().unwrap_or(0)).expect("a small number");
        let client = self.here().await;
        client.set_window_size(width, height + bars).await.expect("it can be resized");
    }

    /// The first element of a CSS selector, once there is one.
    ///
    /// # Panics
    /// When there is none soon.
    pub async fn find(&self, selector: &str) -> Element {
        let found = self.here().await.wait().at_most(SOON).for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("no {selector}: {error}"))
    }

    /// Types into an element with real keys; control keys are those of `fantoccini::key`.
    ///
    /// # Panics
    /// When the element takes no keys.
    pub async fn type_into(&self, selector: &str, keys: &str) {
        self.find(selector).await.send_keys(keys).await.expect("keys can be sent");
    }

    /// Presses keys where the focus is, whatever has it.
    ///
    /// # Panics
    /// When nothing has it.
    pub async fn press_key(&self, keys: &str) {
        let focused = self.here().await.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("keys can be sent");
    }

    /// Clicks on the middle of an element with the mouse; on its successor when the page has just replaced it.
    ///
    /// # Panics
    /// When something else lies there.
    pub async fn click(&self, selector: &str) {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            match self.find(selector).await.click().await {
                Err(error)
                    if error.is_stale_element_reference() && tokio::time::Instant::now() < deadline => {}
                clicked => return clicked.unwrap_or_else(|error| panic!("cannot click {selector}: {error}")),
            }
        }
    }

    /// Moves the mouse to the middle of an element and presses its button.
    ///
    /// # Panics
    /// When there is none.
    pub async fn press(&self, selector: &str) {
        let element = self.find(selector).await;
        self.point(&[
            PointerAction::MoveToElement { element, duration: None, x: 0.0, y: 0.0 },
            PointerAction::Down { button: MOUSE_BUTTON_LEFT },
        ])
        .await;
    }

    /// Lets the button go.
    ///
    /// # Panics
    /// When there is no mouse.
    pub async fn release(&self) {
        self.point(&[PointerAction::Up { button: MOUSE_BUTTON_LEFT }]).await;
    }

    async fn point(&self, actions: &[PointerAction]) {
        let mouse = MouseActions::new("mouse".to_owned());
        let mouse = actions.iter().fold(mouse, |mouse, action| mouse.then(action.clone()));
        self.here().await.perform_actions(mouse).await.expect("a mouse");
    }

    /// Runs a script in the page and gives what it returns.
    ///
    /// # Panics
    /// When it throws.
    pub async fn run(&self, script: &str) -> Value {
        self.run_with(script, Vec::new()).await
    }

    /// The same with `arguments`.
    ///
    /// # Panics
    /// When it throws.
    pub async fn run_with(&self, script: &str, arguments: Vec<Value>) -> Value {
        let client = self.here().await;
        client.execute(script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The texts of all elements of a CSS selector, as written in the document.
    ///
    /// # Panics
    /// When the page is gone.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)";
        let texts = self.run_with(script, vec![json!(selector)]).await;
        serde_json::from_value(texts).expect("texts")
    }

    /// Waits until an expression of the page is true.
    ///
    /// # Panics
    /// When it does not become true soon; the message holds what the page shows.
    pub async fn until(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        let mut is_true = false;
        let deadline = tokio::time::Instant::now() + SOON;
        while !is_true && tokio::time::Instant::now() < deadline {
            is_true = self.run(&script).await == true;
            if !is_true {
                pace(std::time::Duration::from_millis(30)).await;
            }
        }
        if !is_true {
            panic!("never {expression}; the page shows {}", self.run("return document.body.innerText").await);
        }
    }

    /// Waits until the last element of a selector has a text.
    ///
    /// # Panics
    /// As [`Window::until`].
    pub async fn until_last(&self, selector: &str, text: &str) {
        let last = format!("[...document.querySelectorAll({})].at(-1)?.textContent", json!(selector));
        self.until(&format!("{last} === {}", json!(text))).await;
    }

    /// A picture of what it shows, as PNG.
    ///
    /// # Panics
    /// When it cannot be taken.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.here().await.screenshot().await.expect("a picture")
    }
}

fn start_driver() -> (Child, u16) {
    // It takes a free port of one family of addresses and ends when the other family's is taken.
    (0..DRIVER_TRIES).find_map(|_| try_driver()).expect("chromedriver tells its port")
}

fn try_driver() -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver can be started; scripts/services install chromium");
    let mut said = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let port =
        said.find_map(|line| line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    let Some(port) = port else {
        // It has closed its output, so it ends or has ended.
        let _ = driver.wait();
        return None;
    };
    // What it says later must find a reader.
    std::thread::spawn(move || said.for_each(drop));
    Some((driver, port))
}

/// Writes a picture where `PAGE_PICTURES` names a directory, for someone to look at.
///
/// # Panics
/// When it cannot be written.
pub async fn keep_picture(window: &Window, name: &str) {
    let Some(directory) = std::env::var_os("PAGE_PICTURES") else { return };
    let path = std::path::Path::new(&directory).join(format!("{name}.png"));
    fs::write(path, window.screenshot().await).expect("the picture can be written");
}
