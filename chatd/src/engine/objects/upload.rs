//! An upload to a bucket in parts, which nobody sees before it is whole.
//!
//! Invariant: before the first part is sent, an object beside the name says which upload it is. So the parts that a killed
//! node or a cut leaves, which nobody sees and somebody pays for, go with the name, whoever removes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Name;
use object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use tokio::time::timeout;

/// How long whoever uploads waits for what can as well be done later.
const TIDYING: Duration = Duration::from_secs(5);

/// A store in which an upload in parts has an id by which anybody can give it up.
pub(super) trait Parts: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Parts for T {}

/// An upload under way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    store: Arc<dyn Parts>,
    name: Name,
    id: String,
    begun: usize,
    /// One after the other, as they were begun.
    sent: Arc<Mutex<Vec<PartId>>>,
}

/// Tidies up, but not for long: what is left goes with the name.
pub(super) async fn tidy(tidying: impl Future<Output = Result<()>>) {
    let _ = timeout(TIDYING, tidying).await;
}

/// What says which upload of a name is under way.
fn mark(name: &Name) -> Name {
    Name::from(format!("{name}.upload"))
}

impl Upload {
    /// Begins one.
    pub(super) async fn begin(store: Arc<dyn Parts>, name: Name) -> Result<Self> {
        let id = store.create_multipart(&name).await?;
        let mut upload = Self { store, name, id, begun: 0, sent: Arc::default() };
        let payload = PutPayload::from(upload.id.clone());
        if let Err(error) = upload.store.put(&mark(&upload.name), payload).await {
            tidy(upload.abort()).await;
            return Err(error);
        }
        Ok(upload)
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (upload, at) = (self.clone(), self.begun);
        self.begun += 1;
        Box::pin(async move {
            let part = upload.store.put_part(&upload.name, &upload.id, at, data).await?;
            upload.sent.lock().push(part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = std::mem::take(&mut *self.sent.lock());
        let whole = self.store.complete_multipart(&self.name, &self.id, parts).await?;
        // What is left of it does no harm.
        let mark = mark(&self.name);
        tidy(self.store.delete(&mark)).await;
        Ok(whole)
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.abort_multipart(&self.name, &self.id).await?;
        self.store.delete(&mark(&self.name)).await
    }
}

/// Ends what is left of an upload to this name, if anything is.
pub(super) async fn give_up(store: &dyn Parts, name: &Name) -> Result<()> {
    let found = match store.get(&mark(name)).await {
        Err(Error::NotFound { .. }) => return Ok(()),
        found => found?.bytes().await?,
    };
    match store.abort_multipart(name, &String::from_utf8_lossy(&found).into_owned()).await {
        Ok(()) | Err(Error::NotFound { .. }) => store.delete(&mark(name)).await,
        failed => failed,
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;

    #[tokio::test]
    async fn nobody_waits_long_for_a_bucket_that_removes_nothing() {
        let day = Duration::from_secs(24 * 60 * 60);
        let silent = ThrottleConfig { wait_delete_per_call: day, ..ThrottleConfig::default() };
        let store: Arc<dyn Parts> = Arc::new(ThrottledStore::new(InMemory::new(), silent));
        let [kept, failed] = ["1/a", "1/b"].map(Name::from);
        let mut whole = Upload::begin(store.clone(), kept.clone()).await.unwrap();
        whole.put_part(PutPayload::from_static(b"a part")).await.unwrap();
        let mut given_up = Upload::begin(store.clone(), failed.clone()).await.unwrap();
        let ending = async { tokio::join!(whole.complete(), tidy(given_up.abort())).0 };
        timeout(TIDYING * 10, ending).await.expect("both end").unwrap();
        assert_eq!(store.get(&kept).await.unwrap().bytes().await.unwrap(), &b"a part"[..]);
        for name in [kept, failed] {
            assert!(store.get(&mark(&name)).await.is_ok(), "it goes with the name");
        }
    }
}
