//! Every message, as a macro over types: `for_each_message!(callback)` expands to `callback!(ProduceRequest);` and so on.

/// Messages that the `kafka-protocol` crate has too.
macro_rules! for_each_message_of_the_oracle {
    ($callback:ident) => {{
        $callback!(ProduceRequest);
        $callback!(ProduceResponse);
        $callback!(FetchRequest);
        $callback!(FetchResponse);
        $callback!(ListOffsetsRequest);
        $callback!(ListOffsetsResponse);
        $callback!(MetadataRequest);
        $callback!(MetadataResponse);
        $callback!(OffsetCommitRequest);
        $callback!(OffsetCommitResponse);
        $callback!(OffsetFetchRequest);
        $callback!(OffsetFetchResponse);
        $callback!(FindCoordinatorRequest);
        $callback!(FindCoordinatorResponse);
        $callback!(JoinGroupRequest);
        $callback!(JoinGroupResponse);
        $callback!(HeartbeatRequest);
        $callback!(HeartbeatResponse);
        $callback!(LeaveGroupRequest);
        $callback!(LeaveGroupResponse);
        $callback!(SyncGroupRequest);
        $callback!(SyncGroupResponse);
        $callback!(DescribeGroupsRequest);
        $callback!(DescribeGroupsResponse);
        $callback!(ListGroupsRequest);
        $callback!(ListGroupsResponse);
        $callback!(SaslHandshakeRequest);
        $callback!(SaslHandshakeResponse);
        $callback!(ApiVersionsRequest);
        $callback!(ApiVersionsResponse);
        $callback!(CreateTopicsRequest);
        $callback!(CreateTopicsResponse);
        $callback!(DeleteTopicsRequest);
        $callback!(DeleteTopicsResponse);
        $callback!(DeleteRecordsRequest);
        $callback!(DeleteRecordsResponse);
        $callback!(InitProducerIdRequest);
        $callback!(InitProducerIdResponse);
        $callback!(OffsetForLeaderEpochRequest);
        $callback!(OffsetForLeaderEpochResponse);
        $callback!(AddPartitionsToTxnRequest);
        $callback!(AddPartitionsToTxnResponse);
        $callback!(AddOffsetsToTxnRequest);
        $callback!(AddOffsetsToTxnResponse);
        $callback!(EndTxnRequest);
        $callback!(EndTxnResponse);
        $callback!(WriteTxnMarkersRequest);
        $callback!(WriteTxnMarkersResponse);
        $callback!(TxnOffsetCommitRequest);
        $callback!(TxnOffsetCommitResponse);
        $callback!(DescribeAclsRequest);
        $callback!(DescribeAclsResponse);
        $callback!(CreateAclsRequest);
        $callback!(CreateAclsResponse);
        $callback!(DeleteAclsRequest);
        $callback!(DeleteAclsResponse);
        $callback!(DescribeConfigsRequest);
        $callback!(DescribeConfigsResponse);
        $callback!(AlterConfigsRequest);
        $callback!(AlterConfigsResponse);
        $callback!(AlterReplicaLogDirsRequest);
        $callback!(AlterReplicaLogDirsResponse);
        $callback!(DescribeLogDirsRequest);
        $callback!(DescribeLogDirsResponse);
        $callback!(SaslAuthenticateRequest);
        $callback!(SaslAuthenticateResponse);
        $callback!(CreatePartitionsRequest);
        $callback!(CreatePartitionsResponse);
        $callback!(CreateDelegationTokenRequest);
        $callback!(CreateDelegationTokenResponse);
        $callback!(RenewDelegationTokenRequest);
        $callback!(RenewDelegationTokenResponse);
        $callback!(ExpireDelegationTokenRequest);
        $callback!(ExpireDelegationTokenResponse);
        $callback!(DescribeDelegationTokenRequest);
        $callback!(DescribeDelegationTokenResponse);
        $callback!(DeleteGroupsRequest);
        $callback!(DeleteGroupsResponse);
        $callback!(ElectLeadersRequest);
        $callback!(ElectLeadersResponse);
        $callback!(IncrementalAlterConfigsRequest);
        $callback!(IncrementalAlterConfigsResponse);
        $callback!(AlterPartitionReassignmentsRequest);
        $callback!(AlterPartitionReassignmentsResponse);
        $callback!(ListPartitionReassignmentsRequest);
        $callback!(ListPartitionReassignmentsResponse);
        $callback!(OffsetDeleteRequest);
        $callback!(OffsetDeleteResponse);
        $callback!(DescribeClientQuotasRequest);
        $callback!(DescribeClientQuotasResponse);
        $callback!(AlterClientQuotasRequest);
        $callback!(AlterClientQuotasResponse);
        $callback!(DescribeUserScramCredentialsRequest);
        $callback!(DescribeUserScramCredentialsResponse);
        $callback!(AlterUserScramCredentialsRequest);
        $callback!(AlterUserScramCredentialsResponse);
        $callback!(DescribeQuorumRequest);
        $callback!(DescribeQuorumResponse);
        $callback!(UpdateFeaturesRequest);
        $callback!(UpdateFeaturesResponse);
        $callback!(DescribeClusterRequest);
        $callback!(DescribeClusterResponse);
        $callback!(DescribeProducersRequest);
        $callback!(DescribeProducersResponse);
        $callback!(UnregisterBrokerRequest);
        $callback!(UnregisterBrokerResponse);
        $callback!(DescribeTransactionsRequest);
        $callback!(DescribeTransactionsResponse);
        $callback!(ListTransactionsRequest);
        $callback!(ListTransactionsResponse);
        $callback!(ConsumerGroupHeartbeatRequest);
        $callback!(ConsumerGroupHeartbeatResponse);
        $callback!(ConsumerGroupDescribeRequest);
        $callback!(ConsumerGroupDescribeResponse);
        $callback!(GetTelemetrySubscriptionsRequest);
        $callback!(GetTelemetrySubscriptionsResponse);
        $callback!(PushTelemetryRequest);
        $callback!(PushTelemetryResponse);
        $callback!(ListConfigResourcesRequest);
        $callback!(ListConfigResourcesResponse);
        $callback!(DescribeTopicPartitionsRequest);
        $callback!(DescribeTopicPartitionsResponse);
        $callback!(ShareGroupHeartbeatRequest);
        $callback!(ShareGroupHeartbeatResponse);
        $callback!(ShareGroupDescribeRequest);
        $callback!(ShareGroupDescribeResponse);
        $callback!(ShareFetchRequest);
        $callback!(ShareFetchResponse);
        $callback!(ShareAcknowledgeRequest);
        $callback!(ShareAcknowledgeResponse);
        $callback!(DescribeShareGroupOffsetsRequest);
        $callback!(DescribeShareGroupOffsetsResponse);
        $callback!(AlterShareGroupOffsetsRequest);
        $callback!(AlterShareGroupOffsetsResponse);
        $callback!(DeleteShareGroupOffsetsRequest);
        $callback!(DeleteShareGroupOffsetsResponse);
    }};
}

/// Messages that it lacks.
macro_rules! for_each_other_message {
    ($callback:ident) => {{
        $callback!(StreamsGroupHeartbeatRequest);
        $callback!(StreamsGroupHeartbeatResponse);
        $callback!(StreamsGroupDescribeRequest);
        $callback!(StreamsGroupDescribeResponse);
    }};
}

macro_rules! for_each_message {
    ($callback:ident) => {
        $crate::list::for_each_message_of_the_oracle!($callback);
        $crate::list::for_each_other_message!($callback);
    };
}

pub(crate) use {for_each_message, for_each_message_of_the_oracle, for_each_other_message};

#[test]
fn the_list_is_complete() {
    let mut names = Vec::new();
    macro_rules! name {
        ($message:ident) => {
            names.push(stringify!($message));
        };
    }
    for_each_message!(name);
    let mut expected: Vec<String> = Vec::new();
    for api in stratalog_protocol::messages::APIS {
        expected.push(format!("{}Request", api.name));
        expected.push(format!("{}Response", api.name));
    }
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}
