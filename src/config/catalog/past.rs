//! Names that older Kafka releases knew. They still stand in many files; each is accepted with one line, or refused
//! where dropping it would weaken something.

use crate::config::key::Stance;

/// Our stance on a key that Kafka 4.3 no longer has.
pub fn past(name: &str) -> Option<Stance> {
    const NO_EFFECT: &[&str] = &[
        "auto.include.jmx.reporter",
        "broker.id.generation.enable",
        "control.plane.listener.name",
        "eligible.leader.replicas.enable",
        "group.coordinator.new.enable",
        "inter.broker.protocol.version",
        "leader.imbalance.per.broker.percentage",
        "log.message.downconversion.enable",
        "log.message.format.version",
        "log.message.timestamp.difference.max.ms",
        "reserved.broker.max.id",
        "unstable.api.versions.enable",
        "unstable.feature.versions.enable",
    ];
    if NO_EFFECT.contains(&name) {
        return Some(Stance::NoEffect);
    }
    match name {
        "super.users" | "allow.everyone.if.no.acl.found" => {
            Some(Stance::Refused("it belongs to an authorizer, and none is served yet"))
        }
        "host.name" | "port" | "advertised.host.name" | "advertised.port" => {
            Some(Stance::Refused("it would be ignored; say it with listeners and advertised.listeners"))
        }
        "delegation.token.master.key" => Some(Stance::Refused("delegation tokens are not served yet")),
        _ if ["zookeeper.", "password.encoder.", "confluent."].iter().any(|past| name.starts_with(past)) => {
            Some(Stance::NoEffect)
        }
        // Per listener overrides: what is set there is about SASL, TLS or quotas of one listener.
        _ if name.starts_with("listener.name.") && (name.contains(".ssl.") || name.contains(".sasl.")) => {
            Some(Stance::Refused("only PLAINTEXT listeners are served yet"))
        }
        _ if name.starts_with("listener.name.") => Some(Stance::Pending("settings by listener")),
        _ if name.starts_with("rlmm.config.") || name.starts_with("controller.quorum.") => Some(Stance::NoEffect),
        _ => None,
    }
}
