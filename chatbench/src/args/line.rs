//! A scenario written as a command line, for the workers of a run.
//!
//! Invariant: read again it makes the same clients do the same; what is for the conductor alone is left out.

use std::fmt::Display;
use std::time::Duration;

use crate::args::{CommonArgs, Scenario, TrafficArgs, Via};
use crate::timetable::Arrival;

/// The words so far.
struct Line(Vec<String>);

impl Scenario {
    /// The words behind the program's name.
    pub fn line(&self) -> Vec<String> {
        let mut line = Line(vec![self.name().to_owned()]);
        line.add_common(self.common());
        match self {
            Scenario::Connect(_) | Scenario::History(_) | Scenario::Redpacket(_) => {}
            Scenario::Idle(args) => {
                line.time("duration", args.duration);
                args.chaos.iter().for_each(|chaos| line.add("chaos", chaos));
            }
            Scenario::Broadcast(args) | Scenario::Unicast(args) | Scenario::Soak(args) => {
                line.add_traffic(args)
            }
            Scenario::Churn(args) => {
                line.add("churn-rate", args.churn_rate);
                line.time("away", args.away);
                line.add_traffic(&args.traffic);
            }
            Scenario::Mixed(args) => {
                line.add("members", args.members);
                line.add_traffic(&args.traffic);
            }
            Scenario::Group(args) => {
                line.add("groups", args.groups);
                line.add("members", args.members);
                line.add_traffic(&args.traffic);
            }
        }
        line.0
    }
}

impl Line {
    fn add(&mut self, option: &str, value: impl Display) {
        self.0.push(format!("--{option}={value}"));
    }

    fn time(&mut self, option: &str, time: Duration) {
        self.add(option, format!("{}us", time.as_micros()));
    }

    fn add_common(&mut self, args: &CommonArgs) {
        // The line goes to a worker's standard input, and nowhere where it could be seen.
        let servers: Vec<String> = args.server.iter().map(chat_client::Server::with_secrets).collect();
        self.add("server", servers.join(","));
        if let Some(file) = &args.trust.ca {
            self.add("ca", file.display());
        }
        if args.trust.insecure {
            self.0.push("--insecure".to_owned());
        }
        self.time("heartbeat", args.heartbeat);
        if let Some(clients) = args.clients {
            self.add("clients", clients);
        }
        if let Some(rate) = args.connect_rate {
            self.add("connect-rate", rate);
        }
        if let Some(sources) = &args.source_ips {
            self.add("source-ips", sources);
        }
    }

    fn add_traffic(&mut self, args: &TrafficArgs) {
        if let Some(senders) = args.senders {
            self.add("senders", senders);
        }
        match (&args.stages, args.closed) {
            (_, true) => {
                self.0.push("--closed".to_owned());
                self.time("think-time", args.think_time);
                self.time("duration", args.duration);
            }
            (Some(stages), false) => self.add("stages", stages),
            (None, false) => {
                self.add("rate", args.rate);
                self.time("duration", args.duration);
            }
        }
        if args.arrival == Arrival::Poisson {
            self.add("arrival", "poisson");
        }
        self.add("window", args.window);
        self.add("payload", args.payload);
        self.add("via", if args.via == Via::Ws { "ws" } else { "http" });
        self.time("warmup", args.warmup);
        self.time("drain", args.drain);
        self.time("late", args.late);
        for chaos in &args.chaos {
            self.add("chaos", chaos);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};
    use crate::identity::Identity;
    use crate::scenario;

    fn scenario_of<'a>(words: impl Iterator<Item = &'a str>) -> Scenario {
        let Command::Scenario(scenario) = Args::try_parse_from(words).unwrap().command else { panic!() };
        *scenario
    }

    #[test]
    fn a_scenario_written_and_read_again_does_the_same() {
        let identity = Identity { run: "0123456789abcdef".to_owned(), app: 1, seed: 7 };
        for text in [
            "connect --clients 7 --connect-rate 33.3/s --source-ips 127.0.0.2-127.0.0.4",
            "idle --clients 5 --duration 1500ms --heartbeat 1h",
            "idle --clients 5 --chaos avalanche:middle,0.5",
            "idle --clients 5 --server https://u:p%2C@h --insecure",
            "idle --clients 5 --server https://h --ca /etc/ca.pem",
            "broadcast --server http://h:1,http://g:2 --rate 0.1/s --senders 3 --chaos jitter:2,0.5",
            "broadcast --stages 0..500@30s,500@2m --arrival poisson --payload 100 --late 20ms",
            "broadcast --chaos avalanche --chaos slow-reader=10%",
            "churn --churn-rate 3.5/s --away 300ms --rate 7/s --chaos slow-reader=20%",
            "soak --clients 3 --duration 8h",
            "unicast --closed --think-time 250ms --duration 3s --via http --window 9",
            "group --groups 3 --members 4 --senders 2 --rate 1000000/s --warmup 0s --drain 3s",
            "mixed --clients 77 --members 3 --rate 0.7/s --arrival poisson --chaos reconnect",
        ] {
            let first = scenario_of(format!("chatbench {text}").split(' '));
            let line = first.line();
            let second = scenario_of(std::iter::once("chatbench").chain(line.iter().map(String::as_str)));
            assert_eq!(second.line(), line, "{text}");
            let kinds = [&first, &second].map(|one| scenario::kinds(one, &identity));
            assert_eq!(kinds[0].len(), kinds[1].len(), "{text}");
            for (one, other) in kinds[0].iter().zip(&kinds[1]) {
                let [one, other] = [one, other].map(|kind| kind.flow().unwrap());
                assert_eq!(one.timetable, other.timetable, "{text}");
                assert_eq!(format!("{:?}", one.plan), format!("{:?}", other.plan), "{text}");
                assert_eq!((one.window, one.late_us), (other.window, other.late_us), "{text}");
            }
        }
    }
}
