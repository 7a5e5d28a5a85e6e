//! Bytes made by Apache Kafka 4.3.1, and round trips.
