//! The links to the servers of a site: one, or in a cluster one to each master.
//!
//! Invariant: a command goes to the server that has the slot of its key, as far as that is known. What another server has
//! by now was not done by the one that says so: it is sent again when more is known.

mod slots;
mod watching;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Arg, Cmd, FromRedisValue, Pipeline, RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::slots::Servers;
use self::slots::{by_slot, key_of};
use super::link::{Link, LinkError, Live, OnMessage, Script};
use super::site::{Shape, Site};

/// How often something is sent again to where it may be by now.
const TURNS: u32 = 8;
/// Longest wait for word of a change, each time.
const PATIENCE: Duration = Duration::from_millis(200);

/// Does the commands of a transaction in one step.
static READS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reads.lua")));

/// Links that find the server of a key; clones share them.
#[derive(Clone)]
pub(crate) struct Bundle {
    servers: watch::Receiver<Arc<Servers>>,
    /// Asks for another look at the cluster, where there is one.
    look: Option<Arc<Notify>>,
    _watching: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Bundle {
    /// Says so when a URL that names one server names a part of a cluster.
    pub(crate) async fn is_what_it_seems(&self) -> Result<(), LinkError> {
        if self.has_slots() {
            return Ok(());
        }
        let mut ask = redis::cmd("CLUSTER");
        match self.run_at::<Value>(None, ask.arg("INFO")).await {
            Ok(_) => Err(LinkError::Corrupt("it is part of a cluster: write redis-cluster://".to_owned())),
            Err(error @ LinkError::Unreachable(_)) if !error.is_forbidden() => Err(error),
            Err(_) => Ok(()),
        }
    }

    /// Connects to all of them for the first time.
    pub(crate) async fn open(site: &Site, on_message: OnMessage) -> Result<Self, LinkError> {
        match &site.shape {
            Shape::One(server) => {
                let link = Link::open(server, site.replicas, on_message).await?;
                let (_, servers) = watch::channel(Arc::new(Servers::one(server.to_string(), link)));
                Ok(Self { servers, look: None, _watching: None })
            }
            Shape::Cluster(cluster) => {
                let (servers, look, task) =
                    watching::begin(cluster.clone(), site.replicas, on_message).await?;
                let task = Arc::new(AbortOnDropHandle::new(task));
                Ok(Self { servers, look: Some(look), _watching: Some(task) })
            }
        }
    }

    /// Whether keys of different slots are not to be touched by one command.
    pub(crate) fn has_slots(&self) -> bool {
        self.look.is_some()
    }

    /// Names of keys that one command may touch together, with their places among all.
    pub(crate) fn by_slot(&self, names: &[String]) -> Vec<(Vec<String>, Vec<usize>)> {
        if self.has_slots() { by_slot(names) } else { vec![(names.to_vec(), (0..names.len()).collect())] }
    }

    /// The servers by now.
    pub(crate) fn servers(&self) -> Arc<Servers> {
        self.servers.borrow().clone()
    }

    /// Follows the servers.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Servers>> {
        self.servers.clone()
    }

    /// Sends a command.
    pub(crate) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        self.run_at(key_of(command), command).await
    }

    /// Sends a command to the server that has this key.
    pub(crate) async fn run_at<T: FromRedisValue>(
        &self,
        key: Option<&[u8]>,
        command: &Cmd,
    ) -> Result<T, LinkError> {
        for turn in 0.. {
            let servers = self.servers();
            match servers.owner(key)?.run(command).await {
                Err(error) if self.is_elsewhere(&error, turn) => {}
                answer => return answer,
            }
            self.learn().await;
        }
        unreachable!("the last turn returns")
    }

    /// Sends a command that Redis holds back until there is something to tell.
    pub(crate) async fn wait<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        self.servers().owner(key_of(command))?.wait(command).await
    }

    /// Sends several commands at once. Those that are to be done together have one key each, of one slot.
    pub(crate) async fn run_all<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, LinkError> {
        if pipeline.is_transaction() {
            return self.call(&READS, &together(pipeline)).await;
        }
        if !self.has_slots() {
            return self.servers().owner(None)?.run_all(pipeline).await;
        }
        let answers = Value::Array(self.spread(pipeline).await?).extract_error()?;
        Ok(redis::from_redis_value(answers).map_err(RedisError::from)?)
    }

    /// The same, where one that is refused does not keep the others from their answers.
    pub(crate) async fn run_each<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, LinkError> {
        let answers = Value::Array(self.spread(pipeline).await?);
        Ok(redis::from_redis_value(answers).map_err(RedisError::from)?)
    }

    /// Runs a script, loading it first where Redis does not know it.
    pub(crate) async fn call<T: FromRedisValue>(&self, script: &Script, call: &Cmd) -> Result<T, LinkError> {
        for turn in 0.. {
            let servers = self.servers();
            match servers.owner(key_of(call))?.call(script, call).await {
                Err(error) if self.is_elsewhere(&error, turn) => {}
                answer => return answer,
            }
            self.learn().await;
        }
        unreachable!("the last turn returns")
    }

    /// The connection to the server that has a key, when there is one soon.
    pub(crate) async fn live(&self, key: &str) -> Result<Live, LinkError> {
        self.servers().owner(Some(key.as_bytes()))?.live().await
    }

    /// Whether another server has by now what was asked for, and is to be asked in its turn.
    pub(crate) fn is_elsewhere(&self, error: &LinkError, turn: u32) -> bool {
        self.has_slots() && turn < TURNS && error.is_elsewhere()
    }

    /// Waits a moment for word of a change.
    pub(crate) async fn learn(&self) {
        let mut servers = self.servers.clone();
        servers.mark_unchanged();
        if let Some(look) = &self.look {
            look.notify_one();
        }
        // Without one it may be only for a moment that a slot has no server.
        let _ = timeout(PATIENCE, servers.changed()).await;
    }

    /// The answers to the commands of a pipeline in their order, refusals among them.
    async fn spread(&self, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        'turns: for turn in 0.. {
            let servers = self.servers();
            let mut answers = vec![Value::Nil; pipeline.len()];
            for (link, places) in servers.parts(pipeline)? {
                let mut part = redis::pipe();
                let commands = pipeline.cmd_iter().enumerate();
                let own = commands.filter(|(place, _)| places.contains(place));
                own.for_each(|(_, command)| _ = part.add_command(command.clone()));
                for (place, answer) in places.iter().zip(link.run_each(&part).await?) {
                    if let Value::ServerError(error) = &answer
                        && self.is_elsewhere(&LinkError::Unreachable(error.to_string()), turn)
                    {
                        self.learn().await;
                        continue 'turns;
                    }
                    answers[*place] = answer;
                }
            }
            return Ok(answers);
        }
        unreachable!("the last turn returns")
    }
}

/// A call of the script that does the commands of a pipeline.
fn together(pipeline: &Pipeline) -> Cmd {
    let (mut keys, mut rest) = (Vec::new(), Vec::new());
    for command in pipeline.cmd_iter() {
        let mut words = command.args_iter().filter_map(|word| match word {
            Arg::Simple(word) => Some(word),
            _ => None,
        });
        let (name, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let others: Vec<&[u8]> = words.collect();
        keys.push(String::from_utf8_lossy(key).into_owned());
        rest.extend([name.to_vec(), others.len().to_string().into_bytes()]);
        rest.extend(others.into_iter().map(<[u8]>::to_vec));
    }
    let mut call = READS.call(&keys);
    call.arg(rest);
    call
}
