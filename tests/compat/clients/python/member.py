"""A member of a consumer group: subscribes, says what it is given and what it processes, until its input ends.

Its one argument is JSON: client, bootstrap, group, topic, strategy, instance, commit (auto, sync, async). It prints a line
of JSON per event, stamped with CLOCK_MONOTONIC, which all members share: given and taken partitions, records as
[partition, offset] pairs, and the end.
"""

import json
import os
import sys
import threading
import time

ended = threading.Event()


def tell(event, **what):
    line = json.dumps({"event": event, "at": time.monotonic_ns()} | what) + "\n"
    os.write(1, line.encode())


def confluent(job):
    from confluent_kafka import Consumer

    settings = {
        "bootstrap.servers": job["bootstrap"], "group.id": job["group"], "auto.offset.reset": "earliest",
        "partition.assignment.strategy": job["strategy"], "session.timeout.ms": 6000, "heartbeat.interval.ms": 500,
        "enable.auto.commit": job["commit"] == "auto", "auto.commit.interval.ms": 300,
        "max.poll.interval.ms": 30000,
    }
    if job["instance"]:
        settings["group.instance.id"] = job["instance"]
    consumer = Consumer(settings)

    def given(consumer, partitions):
        tell("given", partitions=[partition.partition for partition in partitions])

    def taken(consumer, partitions):
        tell("taken", partitions=[partition.partition for partition in partitions])

    def lost(consumer, partitions):
        tell("lost", partitions=[partition.partition for partition in partitions])

    consumer.subscribe([job["topic"]], on_assign=given, on_revoke=taken, on_lost=lost)
    while not ended.is_set():
        records = consumer.consume(100, 0.1)
        seen = [(record.partition(), record.offset()) for record in records if not record.error()]
        errors = [str(record.error()) for record in records if record.error()]
        if errors:
            tell("error", errors=errors)
        if seen:
            tell("records", records=seen)
            if job["commit"] != "auto":
                try:
                    consumer.commit(asynchronous=job["commit"] == "async")
                except Exception as error:
                    tell("error", errors=[str(error)])
    consumer.close()


def kafka_python(job):
    from kafka import ConsumerRebalanceListener, KafkaConsumer
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            tell("given", partitions=[partition.partition for partition in assigned])

        def on_partitions_revoked(self, revoked):
            tell("taken", partitions=[partition.partition for partition in revoked])

    settings = {"group_instance_id": job["instance"]} if job["instance"] else {}
    consumer = KafkaConsumer(
        bootstrap_servers=job["bootstrap"], group_id=job["group"], auto_offset_reset="earliest",
        session_timeout_ms=6000, heartbeat_interval_ms=500, enable_auto_commit=job["commit"] == "auto",
        auto_commit_interval_ms=300, max_poll_interval_ms=30000,
        partition_assignment_strategy=[RangePartitionAssignor, RoundRobinPartitionAssignor], **settings)
    consumer.subscribe([job["topic"]], listener=Listener())
    while not ended.is_set():
        batch = consumer.poll(timeout_ms=100, max_records=100)
        seen = [(partition.partition, record.offset) for partition, records in batch.items() for record in records]
        if seen:
            tell("records", records=seen)
            try:
                if job["commit"] == "sync":
                    consumer.commit()
                elif job["commit"] == "async":
                    consumer.commit_async()
            except Exception as error:
                tell("error", errors=[f"{type(error).__name__}: {error}"])
    consumer.close()


job = json.loads(sys.argv[1])
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
{"librdkafka": confluent, "kafka-python": kafka_python}[job["client"]](job)
tell("ended")
