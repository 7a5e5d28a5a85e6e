"""librdkafka through its Python binding: makes topics, produces with idempotence, consumes by partition."""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import stream


def create(bootstrap, job):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = NewTopic(job["topic"], num_partitions=job["partitions"], replication_factor=1, config=job["configs"])
    for future in admin.create_topics([topic], request_timeout=30).values():
        future.result(60)


def produce(bootstrap, job):
    failures = []

    def delivered(error, _message):
        if error is not None and len(failures) < 3:
            failures.append(str(error))

    producer = Producer({
        "bootstrap.servers": bootstrap, "compression.type": job["codec"], "acks": "all", "linger.ms": 20,
        "enable.idempotence": True, "message.timeout.ms": job["timeout_s"] * 1000, "reconnect.backoff.max.ms": 500,
    })
    sent = 0
    for partition, timestamp, key, value, headers in stream.read_records(job["input"]):
        while True:
            try:
                producer.produce(job["topic"], value=value, key=key, partition=partition, timestamp=timestamp,
                                 headers=headers, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
        producer.poll(0)
    left = producer.flush(job["timeout_s"])
    if failures or left:
        raise RuntimeError(f"{left} records undelivered, errors: {failures}")
    return {"records": sent}


def consume(bootstrap, job):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "compat", "enable.auto.commit": False, "check.crcs": True,
        "enable.partition.eof": "isolation" in job, "reconnect.backoff.max.ms": 500,
        "queued.max.messages.kbytes": 16384,
        "isolation.level": job.get("isolation", "read_committed"),
    })
    deadline = time.monotonic() + job["timeout_s"]
    topic, partitions = job["topic"], range(job["partitions"])
    ends = {p: watermarks(consumer, TopicPartition(topic, p), deadline)[1] for p in partitions}
    open_partitions = {p for p in partitions if ends[p] > 0}
    outputs = stream.Outputs(job["output"], job["partitions"])
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    while open_partitions:
        if time.monotonic() > deadline:
            raise TimeoutError(f"partitions {sorted(open_partitions)} not at their end after {job['timeout_s']} s")
        for message in consumer.consume(5000, 0.5):
            if message.error():
                # With transactions no record may be the last: the end of what may be seen is told.
                if message.error().code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                if message.error().retriable() or message.error().code() < 0:
                    continue
                raise KafkaException(message.error())
            outputs.write(message.partition(), message.offset(), message.timestamp()[1], message.key(),
                          message.value(), message.headers())
            if "isolation" not in job and message.offset() + 1 >= ends[message.partition()]:
                open_partitions.discard(message.partition())
    outputs.close()
    consumer.close()
    return {"records": outputs.records}


def watermarks(consumer, partition, deadline):
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=10)
        except KafkaException:
            if time.monotonic() > deadline:
                raise


sys.exit(stream.main({"create": create, "produce": produce, "consume": consume}))
