//! The senders that post their messages; none when senders have connections.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::ledger::flow::Flow;
use crate::ledger::sender::Sender;
use crate::net::control::Control;
use crate::phases::client::poster::{Poster, Way};
use crate::phases::crowd::Crowd;
use crate::phases::spec::{Traffic, Via};
use crate::phases::stage::Stage;

/// Senders over HTTP or gRPC.
#[derive(Debug)]
pub struct Posting {
    controls: Vec<Arc<Control>>,
    tasks: Vec<JoinHandle<Sender>>,
}

impl Posting {
    /// Starts those of this process.
    ///
    /// # Errors
    /// As [`crate::ledger::plan::Plan::user`].
    pub fn start(stage: &Stage, traffic: &Traffic) -> Result<Self, Failure> {
        let (mut controls, mut tasks) = (Vec::new(), Vec::new());
        for number in stage.flow.share.senders.clone() {
            let Some(way) = way(stage, traffic.via, number) else { break };
            let control = Arc::new(Control::default());
            let poster = Poster::new(Arc::clone(&stage.flow), Arc::clone(&control), way, number)?;
            controls.push(control);
            tasks.push(tokio::spawn(poster.run()));
        }
        Ok(Self { controls, tasks })
    }

    /// The controls of all senders of this process, in their order.
    pub fn controls(&self, crowd: &Crowd, flow: &Flow) -> Vec<Arc<Control>> {
        if !self.controls.is_empty() {
            return self.controls.clone();
        }
        let senders = crowd.controls().iter().filter(|(number, _)| *number >= flow.plan.receivers);
        senders.map(|(_, control)| Arc::clone(control)).collect()
    }

    /// Ends them and gives their books.
    pub async fn stop(self) -> Vec<Sender> {
        self.controls.iter().for_each(|control| control.stop());
        let mut senders = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            senders.extend(task.await.ok());
        }
        senders
    }
}

/// What sender number `number` posts with; none when it has a connection.
fn way(stage: &Stage, via: Via, number: u32) -> Option<Way> {
    match via {
        Via::Ws => None,
        Via::Http => Some(Way::Http(stage.http(number).clone())),
        Via::Grpc => stage.caller(number).cloned().map(Way::Grpc),
    }
}
