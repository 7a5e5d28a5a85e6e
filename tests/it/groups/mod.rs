//! Groups over the wire. Each scenario is played against a broker of its own, and, where `STRATALOG_KAFKA` names one
//! (`host:port`), against Apache Kafka too: `cargo test --test it groups::kafka -- --ignored`.

mod faults;
mod members;
mod offsets;
mod power_cut;
mod restarts;
mod wire;

use crate::api::Fixture;
use wire::Wire;

/// Plays a scenario against a broker of its own.
macro_rules! here {
    ($($module:ident :: $scenario:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $scenario() {
            let fixture = Fixture::start_with(&[("group.initial.rebalance.delay.ms", "0")]).await;
            let mut wire = Wire::connect(fixture.port()).await;
            $module::$scenario(&mut wire).await;
            drop(wire);
            fixture.stop().await;
        }
    )* };
}

/// The same against Apache Kafka.
macro_rules! kafka {
    ($($module:ident :: $scenario:ident),* $(,)?) => {
        mod kafka {
            use super::*;
            $(
                #[tokio::test]
                #[ignore = "needs Apache Kafka at STRATALOG_KAFKA"]
                async fn $scenario() {
                    let address = std::env::var("STRATALOG_KAFKA").expect("STRATALOG_KAFKA=host:port");
                    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
                    let mut wire = Wire::connect(port).await;
                    super::$module::$scenario(&mut wire).await;
                }
            )*
        }
    };
}

macro_rules! scenarios {
    ($($list:tt)*) => { here! { $($list)* } kafka! { $($list)* } };
}

scenarios! {
    offsets::commits_in_every_version,
    offsets::commits_by_topic_id,
    offsets::what_is_not_there,
    offsets::fetches_in_every_version,
    offsets::metadata_too_large,
    offsets::offsets_are_deleted,
    offsets::groups_are_listed_described_and_deleted,
    members::two_members_share_a_topic,
    members::strangers_are_refused,
    members::a_consumer_member_is_assigned_at_once,
    members::consumer_requests_are_checked,
}
