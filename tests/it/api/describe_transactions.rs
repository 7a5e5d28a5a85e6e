//! DescribeTransactions and ListTransactions: no transactional id is ever given out.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_transactions::DescribeTransactionsRequest;
use stratalog_protocol::messages::list_transactions::ListTransactionsRequest;

use super::Fixture;

#[tokio::test]
async fn there_are_no_transactions() {
    let mut fixture = Fixture::start().await;
    let transactional_ids = vec!["tx".to_owned(), String::new()];
    let described = fixture.ask(&DescribeTransactionsRequest { transactional_ids }, 0).await.transaction_states;
    let codes: Vec<_> = described.iter().map(|state| (state.transactional_id.as_str(), state.error_code)).collect();
    // Kafka has NOT_COORDINATOR until its coordinator is loaded, and this code afterwards.
    assert_eq!(codes, [("tx", ErrorCode::TRANSACTIONAL_ID_NOT_FOUND), ("", ErrorCode::INVALID_REQUEST)]);

    let state_filters = ["Ongoing", "Nope", "ongoing", "Nope"].map(str::to_owned).to_vec();
    let request = ListTransactionsRequest { state_filters, ..ListTransactionsRequest::default() };
    let listed = fixture.ask(&request, 2).await;
    assert_eq!((listed.error_code, listed.transaction_states), (ErrorCode::NONE, Vec::new()));
    assert_eq!(listed.unknown_state_filters, ["Nope", "ongoing"]);
    fixture.stop().await;
}
