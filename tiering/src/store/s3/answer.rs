//! What the HTTP layer saw of a call: the client library folds statuses together that the protocol tells apart, and
//! hides the checksum headers.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;

use futures::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::super::metered;

const CHECKSUM_HEADERS: [&str; 2] = ["x-amz-checksum-sha256", "x-amz-checksum-crc64nvme"];

/// Of the last request of a call.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    /// No connection: nothing was sent.
    pub(super) never_sent: bool,
    /// The answer repeated the checksum that the request carried.
    pub(super) checksum_confirmed: bool,
}

tokio::task_local! {
    static ANSWER: RefCell<Answer>;
}

/// Runs a call and returns with it what its last request met.
pub(super) async fn observe<T>(call: impl Future<Output = T>) -> (T, Answer) {
    ANSWER
        .scope(RefCell::default(), async {
            let outcome = call.await;
            (outcome, ANSWER.with(|answer| answer.borrow().clone()))
        })
        .await
}

fn note(answer: Answer) {
    // Outside of a call (credential look-ups run elsewhere) nobody asks.
    let _ = ANSWER.try_with(|slot| slot.replace(answer));
}

/// A connector whose clients note their answers.
#[derive(Debug)]
pub(super) struct Observed<C>(C);

impl<C> Observed<C> {
    pub(super) fn new(connector: C) -> Observed<C> {
        Observed(connector)
    }
}

impl<C: HttpConnector> HttpConnector for Observed<C> {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(ObservedClient(self.0.connect(options)?)))
    }
}

struct ObservedClient(HttpClient);

impl fmt::Debug for ObservedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObservedClient")
    }
}

impl HttpService for ObservedClient {
    // The form that the trait's `async fn` takes after its macro.
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            metered::count_request();
            note(Answer::default());
            let sent = CHECKSUM_HEADERS.map(|name| request.headers().get(name).cloned());
            let outcome = self.0.execute(request).await;
            note(match &outcome {
                Ok(response) => {
                    let confirmed = CHECKSUM_HEADERS
                        .iter()
                        .zip(&sent)
                        .any(|(name, sent)| sent.is_some() && response.headers().get(*name) == sent.as_ref());
                    Answer {
                        status: Some(response.status().as_u16()),
                        never_sent: false,
                        checksum_confirmed: confirmed,
                    }
                }
                Err(error) => Answer { never_sent: error.kind() == HttpErrorKind::Connect, ..Answer::default() },
            });
            outcome
        })
    }
}
