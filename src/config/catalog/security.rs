//! Broker keys of authorization and principals.

use crate::config::key::Stance::{NoEffect, Refused};
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "authorizer.class.name" String = Some(""),
        Valid::Any, fixed, Refused("an authorizer that is not run would leave every topic open"),
        "Java class that authorizes requests.";
    "connections.max.reauth.ms" Long = Some("0"),
        Valid::Any, fixed, Refused("sessions would never have to log in again"),
        "Age at which a login has to be renewed.";
    "delegation.token.expiry.check.interval.ms" Long = Some("3600000"), Valid::AtLeast(1), fixed, NoEffect,
        "How often expired delegation tokens are removed.";
    "delegation.token.expiry.time.ms" Long = Some("86400000"), Valid::AtLeast(1), fixed, NoEffect,
        "Life of a delegation token before it has to be renewed.";
    "delegation.token.max.lifetime.ms" Long = Some("604800000"), Valid::AtLeast(1), fixed, NoEffect,
        "Longest life of a delegation token.";
    "delegation.token.secret.key" Password = None, Valid::Any, fixed, Refused("delegation tokens are not served yet"),
        "Secret by which delegation tokens are signed.";
    "principal.builder.class" Class =
        Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
        Valid::Any, dynamic, Refused("principals would not be built as this class would"),
        "Java class that names a connection's principal.";
    "security.inter.broker.protocol" String = Some("PLAINTEXT"),
        Valid::OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), fixed,
        Refused("only PLAINTEXT is served yet"),
        "Security protocol between brokers.";
    "security.providers" String = None, Valid::Any, fixed, Refused("Java's security providers cannot be loaded"),
        "Java classes of security providers.";
};
