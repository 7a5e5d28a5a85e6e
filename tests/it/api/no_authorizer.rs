//! DescribeAcls, CreateAcls, DeleteAcls: SECURITY_DISABLED, as Kafka without an authorizer.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use stratalog_protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use stratalog_protocol::messages::describe_acls::DescribeAclsRequest;

use super::{Fixture, told};

#[tokio::test]
async fn every_request_is_answered_in_full() {
    let mut fixture = Fixture::start().await;
    let described = fixture.ask(&DescribeAclsRequest::default(), 3).await;
    let none = told(ErrorCode::SECURITY_DISABLED, "No Authorizer is configured on the broker");
    assert_eq!((described.error_code, described.error_message), none);

    let none = told(ErrorCode::SECURITY_DISABLED, "No Authorizer is configured.");
    let creations = vec![AclCreation::default(); 2];
    let created = fixture.ask(&CreateAclsRequest { creations }, 3).await.results;
    let told_of: Vec<_> = created.into_iter().map(|result| (result.error_code, result.error_message)).collect();
    assert_eq!(told_of, [none.clone(), none.clone()]);
    let filters = vec![DeleteAclsFilter::default(); 2];
    let deleted = fixture.ask(&DeleteAclsRequest { filters }, 3).await.filter_results;
    let told_of: Vec<_> = deleted.into_iter().map(|result| (result.error_code, result.error_message)).collect();
    assert_eq!(told_of, [none.clone(), none]);
    fixture.stop().await;
}
