//! Broker keys of TLS. Refused until it is served.

use crate::config::key::Stance::Refused;
use crate::config::key::{Key, Valid};

pub const KEYS: &[Key] = keys! {
    "ssl.allow.dn.changes" Boolean = Some("false"), Valid::Any, fixed, Refused("TLS is not served yet"),
        "Whether a renewed certificate may carry another name.";
    "ssl.allow.san.changes" Boolean = Some("false"), Valid::Any, fixed, Refused("TLS is not served yet"),
        "Whether a renewed certificate may carry other alternative names.";
    "ssl.cipher.suites" List = Some(""), Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Cipher suites that may be used.";
    "ssl.client.auth" String = Some("none"),
        Valid::OneOf(&["required", "requested", "none"]), dynamic, Refused("TLS is not served yet"),
        "Whether clients must show a certificate.";
    "ssl.enabled.protocols" List = Some("TLSv1.2,TLSv1.3"), Valid::Any, dynamic, Refused("TLS is not served yet"),
        "TLS versions that may be used.";
    "ssl.endpoint.identification.algorithm" String = Some("https"),
        Valid::Any, dynamic, Refused("TLS is not served yet"),
        "How a server's name is checked against its certificate.";
    "ssl.engine.factory.class" Class = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Java class that makes TLS engines.";
    "ssl.key.password" Password = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Password of the private key.";
    "ssl.keymanager.algorithm" String = Some("SunX509"), Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Java's algorithm of the key manager.";
    "ssl.keystore.certificate.chain" Password = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Certificate chain, as PEM.";
    "ssl.keystore.key" Password = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Private key, as PEM.";
    "ssl.keystore.location" String = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "File of certificate and key.";
    "ssl.keystore.password" Password = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Password of the key store.";
    "ssl.keystore.type" String = Some("JKS"), Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Format of the key store.";
    "ssl.principal.mapping.rules" String = Some("DEFAULT"), Valid::Any, fixed, Refused("TLS is not served yet"),
        "Rules that map a certificate's name to a principal.";
    "ssl.protocol" String = Some("TLSv1.3"), Valid::Any, dynamic, Refused("TLS is not served yet"),
        "TLS version of the context.";
    "ssl.provider" String = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Java's provider of TLS.";
    "ssl.secure.random.implementation" String = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Java's random generator for TLS.";
    "ssl.trustmanager.algorithm" String = Some("PKIX"), Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Java's algorithm of the trust manager.";
    "ssl.truststore.certificates" Password = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Trusted certificates, as PEM.";
    "ssl.truststore.location" String = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "File of trusted certificates.";
    "ssl.truststore.password" Password = None, Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Password of the trust store.";
    "ssl.truststore.type" String = Some("JKS"), Valid::Any, dynamic, Refused("TLS is not served yet"),
        "Format of the trust store.";
};
