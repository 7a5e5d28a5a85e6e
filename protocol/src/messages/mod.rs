//! The messages: one file per API with its request and response, declared in one list.
//!
//! The list is the only place that knows which APIs there are: keys, names, version bounds and the pairing of request
//! and response derive from it. What a broker serves of them is its own table of handlers. Kafka's 4.3.1 message
//! definitions are the source of names and versions; versions that Kafka marks as unstable are left out.

pub mod consumer_protocol;

use crate::api::{Api, ApiKey};
use crate::codec::Message;

/// A request, and the response that answers it.
pub trait Request: Message {
    type Response: Message;
    const API: ApiKey;
}

/// A response; its versions are those of its request.
pub trait Response: Message {
    type Request: Request<Response = Self>;
}

macro_rules! apis {
    ($($key:literal $constant:ident $module:ident::{$request:ident, $response:ident} $name:literal;)*) => {
        $(
            pub mod $module;
            pub use $module::{$request, $response};

            impl Request for $request {
                type Response = $response;
                const API: ApiKey = ApiKey::$constant;
            }

            impl Response for $response {
                type Request = $request;
            }
        )*

        impl ApiKey {
            $(pub const $constant: ApiKey = ApiKey($key);)*
        }

        /// Every API that this crate has messages of, in the order of keys.
        pub static APIS: &[Api] = &[$(
            Api {
                key: ApiKey::$constant,
                name: $name,
                min_version: $request::MIN_VERSION,
                max_version: $request::MAX_VERSION,
                flexible_since: $request::FLEXIBLE_SINCE,
            },
        )*];
    };
}

apis! {
    0 PRODUCE produce::{ProduceRequest, ProduceResponse} "Produce";
    1 FETCH fetch::{FetchRequest, FetchResponse} "Fetch";
    2 LIST_OFFSETS list_offsets::{ListOffsetsRequest, ListOffsetsResponse} "ListOffsets";
    3 METADATA metadata::{MetadataRequest, MetadataResponse} "Metadata";
    8 OFFSET_COMMIT offset_commit::{OffsetCommitRequest, OffsetCommitResponse} "OffsetCommit";
    9 OFFSET_FETCH offset_fetch::{OffsetFetchRequest, OffsetFetchResponse} "OffsetFetch";
    10 FIND_COORDINATOR find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse} "FindCoordinator";
    11 JOIN_GROUP join_group::{JoinGroupRequest, JoinGroupResponse} "JoinGroup";
    12 HEARTBEAT heartbeat::{HeartbeatRequest, HeartbeatResponse} "Heartbeat";
    13 LEAVE_GROUP leave_group::{LeaveGroupRequest, LeaveGroupResponse} "LeaveGroup";
    14 SYNC_GROUP sync_group::{SyncGroupRequest, SyncGroupResponse} "SyncGroup";
    15 DESCRIBE_GROUPS describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse} "DescribeGroups";
    16 LIST_GROUPS list_groups::{ListGroupsRequest, ListGroupsResponse} "ListGroups";
    17 SASL_HANDSHAKE sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse} "SaslHandshake";
    18 API_VERSIONS api_versions::{ApiVersionsRequest, ApiVersionsResponse} "ApiVersions";
    19 CREATE_TOPICS create_topics::{CreateTopicsRequest, CreateTopicsResponse} "CreateTopics";
    20 DELETE_TOPICS delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse} "DeleteTopics";
    21 DELETE_RECORDS delete_records::{DeleteRecordsRequest, DeleteRecordsResponse} "DeleteRecords";
    22 INIT_PRODUCER_ID init_producer_id::{InitProducerIdRequest, InitProducerIdResponse} "InitProducerId";
    23 OFFSET_FOR_LEADER_EPOCH offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse} "OffsetForLeaderEpoch";
    24 ADD_PARTITIONS_TO_TXN add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse} "AddPartitionsToTxn";
    25 ADD_OFFSETS_TO_TXN add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse} "AddOffsetsToTxn";
    26 END_TXN end_txn::{EndTxnRequest, EndTxnResponse} "EndTxn";
    27 WRITE_TXN_MARKERS write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse} "WriteTxnMarkers";
    28 TXN_OFFSET_COMMIT txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse} "TxnOffsetCommit";
    29 DESCRIBE_ACLS describe_acls::{DescribeAclsRequest, DescribeAclsResponse} "DescribeAcls";
    30 CREATE_ACLS create_acls::{CreateAclsRequest, CreateAclsResponse} "CreateAcls";
    31 DELETE_ACLS delete_acls::{DeleteAclsRequest, DeleteAclsResponse} "DeleteAcls";
    32 DESCRIBE_CONFIGS describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse} "DescribeConfigs";
    33 ALTER_CONFIGS alter_configs::{AlterConfigsRequest, AlterConfigsResponse} "AlterConfigs";
    34 ALTER_REPLICA_LOG_DIRS alter_replica_log_dirs::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse} "AlterReplicaLogDirs";
    35 DESCRIBE_LOG_DIRS describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse} "DescribeLogDirs";
    36 SASL_AUTHENTICATE sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse} "SaslAuthenticate";
    37 CREATE_PARTITIONS create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse} "CreatePartitions";
    38 CREATE_DELEGATION_TOKEN create_delegation_token::{CreateDelegationTokenRequest, CreateDelegationTokenResponse} "CreateDelegationToken";
    39 RENEW_DELEGATION_TOKEN renew_delegation_token::{RenewDelegationTokenRequest, RenewDelegationTokenResponse} "RenewDelegationToken";
    40 EXPIRE_DELEGATION_TOKEN expire_delegation_token::{ExpireDelegationTokenRequest, ExpireDelegationTokenResponse} "ExpireDelegationToken";
    41 DESCRIBE_DELEGATION_TOKEN describe_delegation_token::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse} "DescribeDelegationToken";
    42 DELETE_GROUPS delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse} "DeleteGroups";
    43 ELECT_LEADERS elect_leaders::{ElectLeadersRequest, ElectLeadersResponse} "ElectLeaders";
    44 INCREMENTAL_ALTER_CONFIGS incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse} "IncrementalAlterConfigs";
    45 ALTER_PARTITION_REASSIGNMENTS alter_partition_reassignments::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse} "AlterPartitionReassignments";
    46 LIST_PARTITION_REASSIGNMENTS list_partition_reassignments::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse} "ListPartitionReassignments";
    47 OFFSET_DELETE offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse} "OffsetDelete";
    48 DESCRIBE_CLIENT_QUOTAS describe_client_quotas::{DescribeClientQuotasRequest, DescribeClientQuotasResponse} "DescribeClientQuotas";
    49 ALTER_CLIENT_QUOTAS alter_client_quotas::{AlterClientQuotasRequest, AlterClientQuotasResponse} "AlterClientQuotas";
    50 DESCRIBE_USER_SCRAM_CREDENTIALS describe_user_scram_credentials::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse} "DescribeUserScramCredentials";
    51 ALTER_USER_SCRAM_CREDENTIALS alter_user_scram_credentials::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse} "AlterUserScramCredentials";
    55 DESCRIBE_QUORUM describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse} "DescribeQuorum";
    57 UPDATE_FEATURES update_features::{UpdateFeaturesRequest, UpdateFeaturesResponse} "UpdateFeatures";
    60 DESCRIBE_CLUSTER describe_cluster::{DescribeClusterRequest, DescribeClusterResponse} "DescribeCluster";
    61 DESCRIBE_PRODUCERS describe_producers::{DescribeProducersRequest, DescribeProducersResponse} "DescribeProducers";
    64 UNREGISTER_BROKER unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse} "UnregisterBroker";
    65 DESCRIBE_TRANSACTIONS describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse} "DescribeTransactions";
    66 LIST_TRANSACTIONS list_transactions::{ListTransactionsRequest, ListTransactionsResponse} "ListTransactions";
    68 CONSUMER_GROUP_HEARTBEAT consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse} "ConsumerGroupHeartbeat";
    69 CONSUMER_GROUP_DESCRIBE consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse} "ConsumerGroupDescribe";
    71 GET_TELEMETRY_SUBSCRIPTIONS get_telemetry_subscriptions::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse} "GetTelemetrySubscriptions";
    72 PUSH_TELEMETRY push_telemetry::{PushTelemetryRequest, PushTelemetryResponse} "PushTelemetry";
    74 LIST_CONFIG_RESOURCES list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse} "ListConfigResources";
    75 DESCRIBE_TOPIC_PARTITIONS describe_topic_partitions::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse} "DescribeTopicPartitions";
    76 SHARE_GROUP_HEARTBEAT share_group_heartbeat::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse} "ShareGroupHeartbeat";
    77 SHARE_GROUP_DESCRIBE share_group_describe::{ShareGroupDescribeRequest, ShareGroupDescribeResponse} "ShareGroupDescribe";
    78 SHARE_FETCH share_fetch::{ShareFetchRequest, ShareFetchResponse} "ShareFetch";
    79 SHARE_ACKNOWLEDGE share_acknowledge::{ShareAcknowledgeRequest, ShareAcknowledgeResponse} "ShareAcknowledge";
    88 STREAMS_GROUP_HEARTBEAT streams_group_heartbeat::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse} "StreamsGroupHeartbeat";
    89 STREAMS_GROUP_DESCRIBE streams_group_describe::{StreamsGroupDescribeRequest, StreamsGroupDescribeResponse} "StreamsGroupDescribe";
    90 DESCRIBE_SHARE_GROUP_OFFSETS describe_share_group_offsets::{DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse} "DescribeShareGroupOffsets";
    91 ALTER_SHARE_GROUP_OFFSETS alter_share_group_offsets::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse} "AlterShareGroupOffsets";
    92 DELETE_SHARE_GROUP_OFFSETS delete_share_group_offsets::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse} "DeleteShareGroupOffsets";
}
