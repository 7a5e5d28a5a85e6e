//! DescribeClientQuotas and DescribeUserScramCredentials: filters are checked, nothing is found.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use stratalog_protocol::messages::describe_user_scram_credentials::{DescribeUserScramCredentialsRequest, UserName};

use super::{Fixture, Told, told};

fn component(entity_type: &str, match_type: i8, name: Option<&str>) -> ComponentData {
    ComponentData { entity_type: entity_type.to_owned(), match_type, match_name: name.map(str::to_owned) }
}

#[tokio::test]
async fn a_filter_that_makes_sense_finds_nothing() {
    let mut fixture = Fixture::start().await;
    let invalid = |message| told(ErrorCode::INVALID_REQUEST, message);
    let cases: Vec<(Vec<ComponentData>, Told)> = vec![
        (vec![], told(ErrorCode::NONE, "")),
        (vec![component("user", 0, Some("a")), component("client-id", 2, None)], told(ErrorCode::NONE, "")),
        (vec![component("nope", 2, None)], told(ErrorCode::UNSUPPORTED_VERSION, "Unsupported entity type nope")),
        (vec![component("", 2, None)], invalid("Invalid empty entity type.")),
        (vec![component("user", 9, None)], invalid("Unknown match type 9")),
        (
            vec![component("user", 2, None), component("user", 1, None)],
            invalid("Entity type user cannot appear more than once in the filter."),
        ),
        (
            vec![component("ip", 2, None), component("user", 1, None)],
            invalid(
                "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.",
            ),
        ),
        (
            vec![component("user", 0, None)],
            invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."),
        ),
        (
            vec![component("user", 1, Some("x"))],
            invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string."),
        ),
    ];
    for (components, expected) in cases {
        let shown = format!("{components:?}");
        let response = fixture.ask(&DescribeClientQuotasRequest { components, strict: false }, 1).await;
        let entries = expected.0.is_none().then(Vec::new);
        assert_eq!((response.error_code, response.error_message), expected, "{shown}");
        assert_eq!(response.entries, entries, "{shown}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn no_user_has_credentials() {
    let mut fixture = Fixture::start().await;
    let users = ["a", "b", "b"].map(|name| UserName { name: name.to_owned() }).to_vec();
    let response = fixture.ask(&DescribeUserScramCredentialsRequest { users: Some(users) }, 0).await;
    assert_eq!((response.error_code, response.error_message.as_deref()), (ErrorCode::NONE, Some("")));
    let rows: Vec<_> = response.results.into_iter().map(|row| (row.error_code, row.error_message)).collect();
    let missing = "Attempt to describe a user credential that does not exist: a";
    let twice = "Cannot describe SCRAM credentials for the same user twice in a single request: b";
    assert_eq!(rows, [told(ErrorCode::RESOURCE_NOT_FOUND, missing), told(ErrorCode::DUPLICATE_RESOURCE, twice)]);
    let all = fixture.ask(&DescribeUserScramCredentialsRequest { users: None }, 0).await;
    assert!(all.results.is_empty());
    fixture.stop().await;
}
