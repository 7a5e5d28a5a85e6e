//! DescribeUserScramCredentials: there are none before SASL is served.

use std::collections::HashSet;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};

use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    _node: Arc<Node>,
    _context: RequestContext,
    request: DescribeUserScramCredentialsRequest,
    _version: i16,
) -> DescribeUserScramCredentialsResponse {
    let users: Vec<String> = request.users.into_iter().flatten().map(|user| user.name).collect();
    let mut seen = HashSet::new();
    let repeated: HashSet<&str> = users.iter().map(String::as_str).filter(|user| !seen.insert(*user)).collect();
    let mut told = HashSet::new();
    let results = users.iter().filter(|user| told.insert(user.as_str())).map(|user| {
        let (error_code, problem) = if repeated.contains(user.as_str()) {
            let problem = "Cannot describe SCRAM credentials for the same user twice in a single request";
            (ErrorCode::DUPLICATE_RESOURCE, problem)
        } else {
            (ErrorCode::RESOURCE_NOT_FOUND, "Attempt to describe a user credential that does not exist")
        };
        DescribeUserScramCredentialsResult {
            user: user.clone(),
            error_code,
            error_message: Some(format!("{problem}: {user}")),
            credential_infos: Vec::new(),
        }
    });
    DescribeUserScramCredentialsResponse {
        error_message: Some(String::new()),
        results: results.collect(),
        ..DescribeUserScramCredentialsResponse::default()
    }
}
