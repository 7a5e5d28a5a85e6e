//! Broker keys of SASL. Refused until it is served.

use crate::config::key::Stance::Refused;
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "sasl.client.callback.handler.class" Class = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Java class that answers the broker's own SASL client.";
    "sasl.enabled.mechanisms" List = Some("GSSAPI"), Valid::Any, dynamic, Refused("SASL is not served yet"),
        "SASL mechanisms that clients may use.";
    "sasl.jaas.config" Password = None, Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Login module and credentials of a SASL listener.";
    "sasl.kerberos.kinit.cmd" String = Some("/usr/bin/kinit"), Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Path of the kinit command.";
    "sasl.kerberos.min.time.before.relogin" Long = Some("60000"),
        Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Shortest time between two Kerberos logins.";
    "sasl.kerberos.principal.to.local.rules" List = Some("DEFAULT"),
        Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Rules that map Kerberos principals to short names.";
    "sasl.kerberos.service.name" String = None, Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Kerberos name of the broker's service.";
    "sasl.kerberos.ticket.renew.jitter" Double = Some("0.05"), Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Random share added to the time of a ticket's renewal.";
    "sasl.kerberos.ticket.renew.window.factor" Double = Some("0.8"),
        Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Share of a ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class" Class = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Java class that supplies the login's credentials.";
    "sasl.login.class" Class = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Java class that logs in.";
    "sasl.login.connect.timeout.ms" Int = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Longest wait for the identity provider's connection.";
    "sasl.login.read.timeout.ms" Int = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Longest wait for the identity provider's answer.";
    "sasl.login.refresh.buffer.seconds" Short = Some("300"), Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Time before expiry that stays free when a credential is refreshed.";
    "sasl.login.refresh.min.period.seconds" Short = Some("60"), Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Shortest time between two refreshes of a credential.";
    "sasl.login.refresh.window.factor" Double = Some("0.8"), Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Share of a credential's life after which it is refreshed.";
    "sasl.login.refresh.window.jitter" Double = Some("0.05"), Valid::Any, dynamic, Refused("SASL is not served yet"),
        "Random share added to the time of a refresh.";
    "sasl.login.retry.backoff.max.ms" Long = Some("10000"), Valid::Any, fixed, Refused("SASL is not served yet"),
        "Longest pause between two tries of a login.";
    "sasl.login.retry.backoff.ms" Long = Some("100"), Valid::Any, fixed, Refused("SASL is not served yet"),
        "First pause between two tries of a login.";
    "sasl.mechanism.controller.protocol" String = Some("GSSAPI"), Valid::Any, fixed, Refused("SASL is not served yet"),
        "SASL mechanism towards the controllers.";
    "sasl.mechanism.inter.broker.protocol" String = Some("GSSAPI"),
        Valid::Any, dynamic, Refused("SASL is not served yet"),
        "SASL mechanism between brokers.";
    "sasl.oauthbearer.assertion.algorithm" String = Some("RS256"),
        Valid::OneOfNoCase(&["ES256", "RS256"]), fixed, Refused("SASL is not served yet"),
        "Algorithm that signs a client assertion.";
    "sasl.oauthbearer.assertion.claim.aud" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Audience claim of a client assertion.";
    "sasl.oauthbearer.assertion.claim.exp.seconds" Int = Some("300"),
        Valid::Between(0, 86_400), fixed, Refused("SASL is not served yet"),
        "Life of a client assertion.";
    "sasl.oauthbearer.assertion.claim.iss" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Issuer claim of a client assertion.";
    "sasl.oauthbearer.assertion.claim.jti.include" Boolean = Some("false"),
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "Whether a client assertion carries a unique id.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds" Int = Some("60"),
        Valid::Between(0, 3_600), fixed, Refused("SASL is not served yet"),
        "How long before now a client assertion becomes valid.";
    "sasl.oauthbearer.assertion.claim.sub" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Subject claim of a client assertion.";
    "sasl.oauthbearer.assertion.file" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "File that holds a ready client assertion.";
    "sasl.oauthbearer.assertion.private.key.file" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "File of the key that signs client assertions.";
    "sasl.oauthbearer.assertion.private.key.passphrase" Password = None,
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "Passphrase of the key that signs client assertions.";
    "sasl.oauthbearer.assertion.template.file" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "File with further claims of a client assertion.";
    "sasl.oauthbearer.client.credentials.client.id" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Client id of the credentials grant.";
    "sasl.oauthbearer.client.credentials.client.secret" Password = None,
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "Client secret of the credentials grant.";
    "sasl.oauthbearer.clock.skew.seconds" Int = Some("30"), Valid::Any, fixed, Refused("SASL is not served yet"),
        "Difference of clocks that a token's check allows.";
    "sasl.oauthbearer.expected.audience" List = Some(""), Valid::Any, fixed, Refused("SASL is not served yet"),
        "Audiences of which a token must name one.";
    "sasl.oauthbearer.expected.issuer" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Issuer that a token must name.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms" Long = Some("3600000"),
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "How often the provider's keys are read again.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" Long = Some("10000"),
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "Longest pause between two tries to read the keys.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" Long = Some("100"),
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "First pause between two tries to read the keys.";
    "sasl.oauthbearer.jwks.endpoint.url" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Address of the provider's keys.";
    "sasl.oauthbearer.jwt.retriever.class" Class =
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "Java class that fetches tokens.";
    "sasl.oauthbearer.jwt.validator.class" Class =
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        Valid::Any, fixed, Refused("SASL is not served yet"),
        "Java class that checks tokens.";
    "sasl.oauthbearer.scope" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Scope that is asked for with a token.";
    "sasl.oauthbearer.scope.claim.name" String = Some("scope"), Valid::Any, fixed, Refused("SASL is not served yet"),
        "Claim that holds a token's scope.";
    "sasl.oauthbearer.sub.claim.name" String = Some("sub"), Valid::Any, fixed, Refused("SASL is not served yet"),
        "Claim that holds a token's subject.";
    "sasl.oauthbearer.token.endpoint.url" String = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Address where tokens are issued.";
    "sasl.server.callback.handler.class" Class = None, Valid::Any, fixed, Refused("SASL is not served yet"),
        "Java class that checks SASL credentials.";
    "sasl.server.max.receive.size" Int = Some("524288"), Valid::Any, fixed, Refused("SASL is not served yet"),
        "Largest message of a SASL exchange.";
};
