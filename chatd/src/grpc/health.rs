//! The health that gRPC's own protocol tells (grpc.health.v1), of the node and of its one service.
//!
//! Invariant: it is that of `/readyz`, a second late at most; a node that drains serves no more from the moment it begins.

use std::sync::Arc;
use std::time::Duration;

use chat_proto::chat_server::SERVICE_NAME;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::hub::Hub;
use crate::ops::system::System;

/// Pause between two looks at the stores.
const LOOK: Duration = Duration::from_secs(1);

/// Says what is known before anybody can ask.
pub(super) async fn begin(reporter: &HealthReporter) {
    say(reporter, false).await;
}

/// Tells the health until the node drains.
pub(super) async fn tell(reporter: HealthReporter, system: Arc<System>, hub: Arc<Hub>) {
    let looking = async {
        loop {
            say(&reporter, system.ready().await.is_ok()).await;
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        biased;
        () = hub.drain().begun() => {}
        () = looking => {}
    }
    say(&reporter, false).await;
}

async fn say(reporter: &HealthReporter, is_ready: bool) {
    let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in ["", SERVICE_NAME] {
        reporter.set_service_status(service, status).await;
    }
}
