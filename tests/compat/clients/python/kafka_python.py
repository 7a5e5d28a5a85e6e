"""kafka-python: produces and consumes by partition."""

import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

import stream


def produce(bootstrap, job):
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=20, batch_size=64 * 1024,
        compression_type=None if job["codec"] == "none" else job["codec"],
    )
    failures, sent = [], 0
    for partition, timestamp, key, value, headers in stream.read_records(job["input"]):
        future = producer.send(job["topic"], value=value, key=key, headers=headers, partition=partition,
                               timestamp_ms=timestamp)
        future.add_errback(failures.append)
        sent += 1
    producer.flush(timeout=job["timeout_s"])
    producer.close()
    if failures:
        raise failures[0]
    return {"records": sent}


def consume(bootstrap, job):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, group_id=None,
                             max_poll_records=5000, check_crcs=True)
    deadline = time.monotonic() + job["timeout_s"]
    partitions = [TopicPartition(job["topic"], number) for number in range(job["partitions"])]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, 0)
    outputs = stream.Outputs(job["output"], job["partitions"])
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not at the end after {job['timeout_s']} s")
        for partition, records in consumer.poll(timeout_ms=500).items():
            for record in records:
                outputs.write(partition.partition, record.offset, record.timestamp, record.key, record.value,
                              record.headers)
    outputs.close()
    consumer.close()
    return {"records": outputs.records}


sys.exit(stream.main({"produce": produce, "consume": consume}))
