//! From the command line to what a run is asked for, where the floors below take over.
//!
//! Invariant: nothing of clap goes further down; what the options leave open is decided here or by the run itself.

use crate::cli::args::redpacket::RedPacketArgs;
use crate::cli::args::{
    ChurnArgs, CommonArgs, GroupArgs, HistoryArgs, IdleArgs, MixedArgs, Scenario, TrafficArgs,
};
use crate::phases::spec::{Common, Pace, Traffic};
use crate::scenario::broadcast::Broadcast;
use crate::scenario::churn::Churn;
use crate::scenario::connect::Connect;
use crate::scenario::group::Group;
use crate::scenario::history::Paging;
use crate::scenario::idle::Idle;
use crate::scenario::kind;
use crate::scenario::mixed::Mixed;
use crate::scenario::redpacket::wanted::Grabbing;
use crate::scenario::soak::Soak;
use crate::scenario::unicast::Unicast;

/// Messages that a sender who keeps to a rate has unanswered at most, unless another number is given.
const WINDOW: u32 = 1024;

impl Scenario {
    /// What it asks for.
    pub fn plain(&self) -> Box<dyn kind::Scenario> {
        match self {
            Scenario::Connect(args) => Box::new(Connect(args.common.plain())),
            Scenario::Idle(args) => Box::new(args.plain()),
            Scenario::Broadcast(args) => Box::new(Broadcast(args.plain())),
            Scenario::Unicast(args) => Box::new(Unicast(args.plain())),
            Scenario::Group(args) => Box::new(args.plain()),
            Scenario::Mixed(args) => Box::new(args.plain()),
            Scenario::Churn(args) => Box::new(args.plain()),
            Scenario::Soak(args) => Box::new(Soak(args.plain())),
            Scenario::History(args) => Box::new(args.plain()),
            Scenario::Redpacket(args) => Box::new(args.plain()),
        }
    }
}

impl CommonArgs {
    fn plain(&self) -> Common {
        Common {
            servers: self
                .context
                .as_ref()
                .map_or_else(|| self.server.clone(), |named| vec![named.server.clone()]),
            ca: self.ca.clone(),
            insecure: self.insecure,
            token_file: self.token_file.clone(),
            context: self.context.as_ref().map(|named| named.context.clone()),
            app: self.app.or_else(|| self.context.as_ref()?.context.app),
            clients: self.clients(),
            workers: self.workers,
            sources: self.source_ips.clone(),
            connect_rate: self.connect_rate,
            heartbeat: self.heartbeat,
            pids: self.pid.clone(),
            resources: self.resources,
            redis: self.redis.clone(),
            thresholds: self.thresholds.clone(),
            seed: self.seed,
        }
    }
}

impl TrafficArgs {
    /// What they ask for.
    pub fn plain(&self) -> Traffic {
        let pace = match &self.stages {
            _ if self.closed => Pace::Closed { think: self.think_time },
            Some(stages) => Pace::Stages(stages.clone()),
            None => Pace::Rate(self.rate),
        };
        Traffic {
            common: self.common.plain(),
            senders: self.senders,
            pace,
            arrival: self.arrival,
            duration: self.duration,
            window: self.window.unwrap_or(if self.closed { 1 } else { WINDOW }),
            payload: self.payload,
            via: self.via,
            calls: self.calls(),
            warmup: self.warmup,
            drain: self.drain,
            late: self.late,
            allow_disconnects: self.allow_disconnects,
            chaos: self.chaos.clone(),
        }
    }
}

impl IdleArgs {
    /// What they ask for.
    pub fn plain(&self) -> Idle {
        let (common, chaos) = (self.common.plain(), self.chaos.clone());
        Idle { common, duration: self.duration, allow_disconnects: self.allow_disconnects, chaos }
    }
}

impl GroupArgs {
    fn plain(&self) -> Group {
        Group { groups: self.groups, members: self.members, traffic: self.traffic.plain() }
    }
}

impl MixedArgs {
    fn plain(&self) -> Mixed {
        Mixed { members: self.members, traffic: self.traffic.plain() }
    }
}

impl ChurnArgs {
    /// What they ask for.
    pub fn plain(&self) -> Churn {
        Churn { rate: self.churn_rate, away: self.away, traffic: self.traffic.plain() }
    }
}

impl HistoryArgs {
    fn plain(&self) -> Paging {
        Paging {
            common: self.common.plain(),
            messages: self.messages,
            rate: self.rate,
            page: self.page,
            payload: self.payload,
            duration: self.duration,
        }
    }
}

impl RedPacketArgs {
    /// What they ask for.
    pub fn plain(&self) -> Grabbing {
        Grabbing {
            common: self.common.plain(),
            packets: self.packets,
            count: self.count,
            total: self.total.unwrap_or(u64::from(self.count) * 100),
            shares: self.mode,
            senders: self.senders,
            grabs: self.grabs,
            hot: self.hot,
            via: self.via,
            reconnect_during: self.reconnect_during,
            rate: self.rate,
            duration: self.duration,
            await_refund: self.await_refund,
            drain: self.drain,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::args::{Args, Command};
    use crate::phases::identity::Identity;
    use crate::scenario::kind::kinds;
    use crate::scenario::read;

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
            "unicast --closed --clients 8",
            "churn --churn-rate 3.5/s --away 300ms --rate 7/s --chaos slow-reader=20%",
            "soak --clients 3 --duration 8h",
            "unicast --closed --think-time 250ms --duration 3s --via http --window 9",
            "unicast --via grpc --server http://a,http://b --grpc-server a:1,[::1]:2 --grpc-connections 7 --rate 9/s",
            "group --groups 3 --members 4 --senders 2 --rate 1000000/s --warmup 0s --drain 3s",
            "mixed --clients 77 --members 3 --rate 0.7/s --arrival poisson --chaos reconnect",
        ] {
            let words = format!("chatbench {text}");
            let Command::Scenario(scenario) = Args::try_parse_from(words.split(' ')).unwrap().command else {
                panic!("{text}")
            };
            let first = scenario.plain();
            let written = first.written().unwrap();
            let second = read(first.name(), &written).unwrap();
            assert_eq!(second.written().unwrap(), written, "{text}");
            assert_eq!(format!("{:?}", second.work()), format!("{:?}", first.work()), "{text}");
            let parts = [&first, &second].map(|one| one.parts(&identity));
            let [ones, others] = [(&first, &parts[0]), (&second, &parts[1])]
                .map(|(one, parts)| kinds(&**one, &identity, parts));
            assert_eq!(ones.len(), others.len(), "{text}");
            for ((one, identity), (other, same)) in ones.into_iter().zip(others) {
                let [one, other] = [one.flow(identity).unwrap(), other.flow(same).unwrap()];
                assert_eq!(one.timetable, other.timetable, "{text}");
                assert_eq!(format!("{:?}", one.plan), format!("{:?}", other.plan), "{text}");
                assert_eq!((one.window, one.late_us), (other.window, other.late_us), "{text}");
            }
        }
        assert!(read("redpacket", "{}").is_err(), "it is never divided");
    }
}
