//! No secret of a message shows in its `Debug`, which is what a log line or an error may carry.

use bytes::Bytes;
use stratalog_protocol::messages::alter_configs::AlterableConfig;
use stratalog_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialUpsertion,
};
use stratalog_protocol::messages::create_delegation_token::CreateDelegationTokenResponse;
use stratalog_protocol::messages::describe_delegation_token::{
    DescribeDelegationTokenResponse, DescribedDelegationToken,
};
use stratalog_protocol::messages::expire_delegation_token::ExpireDelegationTokenRequest;
use stratalog_protocol::messages::incremental_alter_configs;
use stratalog_protocol::messages::renew_delegation_token::RenewDelegationTokenRequest;
use stratalog_protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};

const SECRET: &str = "hunter2";

#[test]
fn no_secret_shows_in_debug() {
    let secret = || Bytes::from_static(SECRET.as_bytes());
    let value = Some(SECRET.to_owned());
    let upsertion = ScramCredentialUpsertion {
        name: "alice".to_owned(),
        salt: secret(),
        salted_password: secret(),
        ..ScramCredentialUpsertion::default()
    };
    let token = DescribedDelegationToken { hmac: secret(), ..DescribedDelegationToken::default() };
    let shown = [
        format!("{:?}", SaslAuthenticateRequest { auth_bytes: secret() }),
        format!("{:?}", SaslAuthenticateResponse { auth_bytes: secret(), ..SaslAuthenticateResponse::default() }),
        format!("{:?}", AlterUserScramCredentialsRequest { upsertions: vec![upsertion], ..Default::default() }),
        format!("{:?}", CreateDelegationTokenResponse { hmac: secret(), ..Default::default() }),
        format!("{:?}", DescribeDelegationTokenResponse { tokens: vec![token], ..Default::default() }),
        format!("{:?}", ExpireDelegationTokenRequest { hmac: secret(), ..Default::default() }),
        format!("{:?}", RenewDelegationTokenRequest { hmac: secret(), ..Default::default() }),
        format!("{:?}", AlterableConfig { value: value.clone(), ..Default::default() }),
        format!("{:?}", incremental_alter_configs::AlterableConfig { value, ..Default::default() }),
    ];
    for shown in shown {
        assert!(shown.contains("[7 bytes hidden]"), "{shown}");
        // As text, and as the bytes of an escaped string.
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let named = format!("{:?}", ScramCredentialUpsertion { name: "alice".to_owned(), ..Default::default() });
    assert!(named.contains("name: \"alice\""), "{named}");
}
