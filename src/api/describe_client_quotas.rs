//! DescribeClientQuotas: none can be set yet, so a filter that makes sense finds nothing.

use std::collections::HashSet;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::node::Node;
use super::refusal::Refusal;
use crate::net::RequestContext;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

const MATCH_EXACT: i8 = 0;
const MATCH_DEFAULT: i8 = 1;
const MATCH_SPECIFIED: i8 = 2;

pub async fn handle(
    _node: Arc<Node>,
    _context: RequestContext,
    request: DescribeClientQuotasRequest,
    _version: i16,
) -> DescribeClientQuotasResponse {
    match check(&request.components) {
        Ok(()) => DescribeClientQuotasResponse {
            error_message: Some(String::new()),
            entries: Some(Vec::new()),
            ..DescribeClientQuotasResponse::default()
        },
        Err(refusal) => DescribeClientQuotasResponse {
            error_code: refusal.code,
            error_message: refusal.message,
            entries: None,
            ..DescribeClientQuotasResponse::default()
        },
    }
}

fn check(components: &[ComponentData]) -> Result<(), Refusal> {
    let invalid = |problem: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem));
    let mut seen = HashSet::new();
    for component in components {
        let entity_type = component.entity_type.as_str();
        if entity_type.is_empty() {
            return invalid("Invalid empty entity type.".to_owned());
        }
        if !seen.insert(entity_type) {
            return invalid(format!("Entity type {entity_type} cannot appear more than once in the filter."));
        }
        if !matches!(entity_type, USER | CLIENT_ID | IP) {
            let problem = format!("Unsupported entity type {entity_type}");
            return Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, problem));
        }
        check_match(component)?;
    }
    if seen.contains(IP) && seen.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."
                .to_owned(),
        );
    }
    Ok(())
}

fn check_match(component: &ComponentData) -> Result<(), Refusal> {
    let named = component.match_name.is_some();
    let problem = match component.match_type {
        MATCH_EXACT if !named => "Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned(),
        MATCH_DEFAULT if named => "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.".to_owned(),
        MATCH_SPECIFIED if named => {
            "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.".to_owned()
        }
        MATCH_EXACT | MATCH_DEFAULT | MATCH_SPECIFIED => return Ok(()),
        other => format!("Unknown match type {other}"),
    };
    Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem))
}
