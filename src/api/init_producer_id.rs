//! InitProducerId for idempotent producers (KIP-98). Transactional ids are refused until transactions are served.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: InitProducerIdRequest,
    _version: i16,
) -> InitProducerIdResponse {
    let refusal = |error_code| InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() };
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return refusal(ErrorCode::INVALID_REQUEST),
        // Fatal for the client, which then says so, rather than retriable for ever.
        Some(_) => return refusal(ErrorCode::UNSUPPORTED_VERSION),
    }
    let allocating = node.clone();
    let allocated = tokio::task::spawn_blocking(move || allocating.next_producer_id()).await;
    match allocated {
        Ok(Ok(producer_id)) => InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() },
        Ok(Err(error)) => {
            tracing::error!("no producer id: {error}");
            refusal(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        }
        Err(_) => refusal(ErrorCode::COORDINATOR_NOT_AVAILABLE),
    }
}
