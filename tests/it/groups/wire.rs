//! One connection to a broker, ours or Apache Kafka's, and names that no other run has used.

use bytes::BytesMut;
use stratalog_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use stratalog_protocol::messages::find_coordinator::FindCoordinatorRequest;
use stratalog_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use stratalog_protocol::messages::{HeartbeatRequest, OffsetCommitRequest, Request};
use stratalog_protocol::{ErrorCode, Part, Response, decode_response, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

pub struct Wire {
    stream: TcpStream,
    port: i32,
    correlation_id: i32,
    run: String,
}

impl Wire {
    pub async fn connect(port: i32) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).await.unwrap();
        let run = Uuid::new_v4().simple().to_string();
        Wire { stream, port, correlation_id: 0, run }
    }

    /// Another connection, for a request that waits for others.
    pub async fn another(&self) -> Wire {
        let mut other = Wire::connect(self.port).await;
        other.run.clone_from(&self.run);
        other
    }

    /// A name of this run alone.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.run)
    }

    pub async fn ask<Q>(&mut self, request: &Q, version: i16) -> Q::Response
    where
        Q: Request<Response: Response<Request = Q>>,
    {
        self.try_ask(request, version).await.unwrap()
    }

    async fn try_ask<Q>(&mut self, request: &Q, version: i16) -> std::io::Result<Q::Response>
    where
        Q: Request<Response: Response<Request = Q>>,
    {
        self.correlation_id += 1;
        for part in encode_request(request, version, self.correlation_id, Some("it")).unwrap() {
            let Part::Bytes(bytes) = part else { panic!("requests are memory") };
            self.stream.write_all(&bytes).await?;
        }
        let length = self.stream.read_i32().await?;
        let mut frame = BytesMut::zeroed(usize::try_from(length).unwrap());
        self.stream.read_exact(&mut frame).await?;
        let (correlation_id, response) = decode_response::<Q::Response>(frame.freeze(), version).unwrap();
        assert_eq!(correlation_id, self.correlation_id);
        Ok(response)
    }

    /// Whether the commit was acknowledged; false when the broker has gone.
    pub async fn try_commit(&mut self, request: &OffsetCommitRequest) -> bool {
        match self.try_ask(request, 9).await {
            Ok(answer) => {
                let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                assert!(partitions.all(|partition| partition.error_code.is_none()), "{answer:?}");
                true
            }
            Err(_) => false,
        }
    }

    /// Creates a topic of this run, and answers its name and id.
    pub async fn topic(&mut self, name: &str, partitions: i32) -> (String, Uuid) {
        let name = self.name(name);
        let topic = CreatableTopic {
            name: name.clone(),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        let created = self.ask(&request, 7).await.topics.remove(0);
        assert_eq!(created.error_code, ErrorCode::NONE, "{:?}", created.error_message);
        // Kafka's broker hears of the topic a little later.
        loop {
            let asked = MetadataRequestTopic { name: Some(name.clone()), ..MetadataRequestTopic::default() };
            let request = MetadataRequest { topics: Some(vec![asked]), ..MetadataRequest::default() };
            let found = self.ask(&request, 12).await.topics.remove(0);
            if found.error_code.is_none() && found.partitions.iter().all(|partition| partition.error_code.is_none()) {
                return (name, created.topic_id);
            }
            tokio::task::yield_now().await;
        }
    }

    /// A group of this run, whose coordinator is there.
    pub async fn group(&mut self, name: &str) -> String {
        let name = self.name(name);
        loop {
            let request = FindCoordinatorRequest { coordinator_keys: vec![name.clone()], ..Default::default() };
            let found = self.ask(&request, 6).await.coordinators.remove(0);
            match found.error_code {
                ErrorCode::NONE if self.serves(&name).await => break,
                ErrorCode::NONE => tokio::task::yield_now().await,
                // Kafka makes the topic in the background.
                ErrorCode::COORDINATOR_NOT_AVAILABLE => tokio::task::yield_now().await,
                other => panic!("{other}"),
            }
        }
        name
    }

    /// Whether the coordinator has loaded.
    async fn serves(&mut self, group: &str) -> bool {
        let request = HeartbeatRequest { group_id: group.to_owned(), ..HeartbeatRequest::default() };
        self.ask(&request, 4).await.error_code == ErrorCode::UNKNOWN_MEMBER_ID
    }
}
