//! Derives a Kafka message's encoder, decoder, size and default from its struct.
