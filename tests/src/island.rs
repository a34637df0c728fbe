//! Machines of a test's own, as namespaces of the kernel's network, whose cables can be pulled.
//!
//! Invariant: a cable that is pulled tells nobody: what is sent is lost, as when a switch fails. Everything ends with its
//! value or, whatever happens, with the test process.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A switch that this machine and others are plugged into.
pub struct Switch {
    space: Space,
    net: [u8; 3],
    last: AtomicU8,
}

/// A machine beside this one.
pub struct Island {
    space: Space,
}

/// A namespace, which is there as long as somebody holds it.
struct Space(Child);

/// A cable between an island and a switch.
pub struct Cable {
    /// What the island has at this end.
    pub address: Ipv4Addr,
    /// The process that holds the switch.
    switch: u32,
    port: String,
}

impl Space {
    fn new() -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sh", "-c", "ip link set lo up && echo here && read -r _"]);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = holder.spawn().expect("unshare");
        let mut here = [0; 5];
        let stdout = child.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(stdout, &mut here).expect("a network of its own: this test runs as root");
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn run(&self, words: &str) {
        let output = within(self.pid(), "ip").args(words.split(' ')).output().expect("nsenter");
        assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program in the network that this process holds.
fn within(pid: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--net"]).arg(program);
    command
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("ip (iproute2)");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Default for Switch {
    fn default() -> Self {
        Self::new()
    }
}

impl Switch {
    /// A switch into which this machine is plugged.
    ///
    /// # Panics
    /// Without the rights of root.
    #[must_use]
    pub fn new() -> Self {
        let space = Space::new();
        space.run("link add switch type bridge");
        space.run("link set switch up");
        // Tests run beside each other, and nobody gives out networks.
        let net = [10, rand::random_range(100..250), rand::random_range(0..250)];
        let (own, pid) = (format!("t{:08x}", rand::random::<u32>()), space.pid());
        ip(&format!("link add {own} type veth peer name host netns {pid}"));
        space.run("link set host master switch up");
        ip(&format!("address add {}.{}.{}.1/24 dev {own}", net[0], net[1], net[2]));
        ip(&format!("link set {own} up"));
        Self { space, net, last: AtomicU8::new(1) }
    }

    /// The address of this machine on it.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, 1)
    }
}

impl Default for Island {
    fn default() -> Self {
        Self::new()
    }
}

impl Island {
    /// A machine without a cable.
    ///
    /// # Panics
    /// Without the rights of root.
    #[must_use]
    pub fn new() -> Self {
        Self { space: Space::new() }
    }

    /// Plugs it into a switch.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn plug(&self, switch: &Switch) -> Cable {
        let number = switch.last.fetch_add(1, Relaxed) + 1;
        // An island may be plugged into several switches, of which each has a port of that number.
        let port = format!("p{:08x}", rand::random::<u32>());
        let (pid, switched) = (self.space.pid(), switch.space.pid());
        switch.space.run(&format!("link add {port} type veth peer name {port} netns {pid}"));
        switch.space.run(&format!("link set {port} master switch up"));
        let [a, b, c] = switch.net;
        let address = Ipv4Addr::new(a, b, c, number);
        self.space.run(&format!("address add {address}/24 dev {port}"));
        self.space.run(&format!("link set {port} up"));
        Cable { address, switch: switched, port }
    }

    /// A program on it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        within(self.space.pid(), program)
    }
}

impl Cable {
    /// Pulls it.
    ///
    /// # Panics
    /// When the switch is gone.
    pub fn pull(&self) {
        self.set("nomaster");
    }

    /// Plugs it in again.
    ///
    /// # Panics
    /// When the switch is gone.
    pub fn plug(&self) {
        self.set("master switch");
    }

    fn set(&self, how: &str) {
        let words = format!("link set {} {how}", self.port);
        let output = within(self.switch, "ip").args(words.split(' ')).output().expect("nsenter");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
