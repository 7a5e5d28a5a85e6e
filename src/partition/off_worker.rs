//! What reads much of a log: on the blocking pool, a few at a time over all requests, so that some are left for others.

use tokio::sync::Semaphore;

use super::error::ReadError;

/// A kind of work that blocks.
pub(super) struct OffWorker(Semaphore);

impl OffWorker {
    /// `at_once`: how many may run, over all requests.
    pub(super) const fn new(at_once: usize) -> OffWorker {
        OffWorker(Semaphore::const_new(at_once))
    }

    /// Runs `work` off the runtime's workers.
    pub(super) async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = self.0.acquire().await.map_err(|_| ReadError::CutOff)?;
        tokio::task::spawn_blocking(move || {
            // Work whose caller has gone still counts until it ends.
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| ReadError::CutOff)
    }
}
