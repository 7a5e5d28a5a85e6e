"""A member of a consumer group: subscribes, says what it is given and what it processes, until its input ends.

Every client has such a program, and all speak alike (`harness/members.py` reads them). The one argument is JSON:
client, bootstrap, group, topic, protocol (classic or consumer), strategy, instance, commit (auto, sync, async),
session_ms. A line on its input is `pause` or `resume`; the end of the input is the order to leave. It prints a line of
JSON per event, stamped with CLOCK_MONOTONIC, which all members share: partitions `given` (with the generation or the
member epoch, where the client tells it), `taken` and `lost`, `records` as [partition, offset] pairs, a synchronous
commit of all of them that was `committed`, errors, and the end.
"""

import json
import os
import sys
import threading
import time

ended, paused = threading.Event(), threading.Event()


def tell(event, **what):
    line = json.dumps({"event": event, "at": time.monotonic_ns()} | what) + "\n"
    os.write(1, line.encode())


def numbers(partitions):
    return [partition.partition for partition in partitions]


def obey():
    for line in sys.stdin:
        paused.set() if line.strip() == "pause" else paused.clear()
    ended.set()


def confluent(job):
    from confluent_kafka import Consumer

    settings = {
        "bootstrap.servers": job["bootstrap"], "group.id": job["group"], "auto.offset.reset": "earliest",
        "group.protocol": job["protocol"], "enable.auto.commit": job["commit"] == "auto",
        "auto.commit.interval.ms": 300, "max.poll.interval.ms": 30000, "reconnect.backoff.max.ms": 1000,
    }
    if job["protocol"] == "classic":
        settings |= {"partition.assignment.strategy": job["strategy"], "session.timeout.ms": job["session_ms"],
                     "heartbeat.interval.ms": 500}
    else:
        settings["group.remote.assignor"] = job["strategy"]
    if job["instance"]:
        settings["group.instance.id"] = job["instance"]
    consumer = Consumer(settings)

    def given(consumer, partitions):
        tell("given", partitions=numbers(partitions), epoch=epoch(consumer.consumer_group_metadata()))

    consumer.subscribe([job["topic"]], on_assign=given,
                       on_revoke=lambda _, partitions: tell("taken", partitions=numbers(partitions)),
                       on_lost=lambda _, partitions: tell("lost", partitions=numbers(partitions)))
    held = set()
    while not ended.is_set():
        # One by one: a batch is put together across rebalances and position changes, which drop part of it.
        record, count = consumer.poll(0.1), 0
        while record is not None:
            if record.error():
                tell("error", errors=[str(record.error())])
                if record.error().fatal():
                    sys.exit(f"fatal: {record.error()}")
            else:
                tell("records", records=[(record.partition(), record.offset())])
                count += 1
            record = consumer.poll(0) if count < 100 else None
        if count and job["commit"] != "auto":
            attempt(job, lambda: consumer.commit(asynchronous=job["commit"] == "async"))
        # A partition that was paused, taken, and is given again is still paused.
        change = [partition for partition in consumer.assignment()
                  if (partition.partition in held) != paused.is_set()]
        if change:
            (consumer.pause if paused.is_set() else consumer.resume)(change)
            held ^= set(numbers(change))
    consumer.close()


def epoch(metadata):
    """Out of librdkafka's serialized group metadata: a magic, then the generation or member epoch."""
    magic = b"CGMDv2:"
    if not metadata or not metadata.startswith(magic):
        return None
    return int.from_bytes(metadata[len(magic):len(magic) + 4], sys.byteorder, signed=True)


def attempt(job, commit):
    try:
        commit()
        if job["commit"] == "sync":
            tell("committed")
    except Exception as error:  # a rebalance came first; what was not committed is processed again
        tell("error", errors=[f"{type(error).__name__}: {error}"])


def kafka_python(job):
    from kafka import ConsumerRebalanceListener, KafkaConsumer
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            tell("given", partitions=numbers(assigned), epoch=consumer.group_metadata().generation_id)

        def on_partitions_revoked(self, revoked):
            tell("taken", partitions=numbers(revoked))

        def on_partitions_lost(self, lost):
            tell("lost", partitions=numbers(lost))

    settings = {"group_instance_id": job["instance"]} if job["instance"] else {}
    strategy = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor,
                "cooperative-sticky": CooperativeStickyAssignor}[job["strategy"]]
    consumer = KafkaConsumer(
        bootstrap_servers=job["bootstrap"], group_id=job["group"], auto_offset_reset="earliest",
        session_timeout_ms=job["session_ms"], heartbeat_interval_ms=500, enable_auto_commit=job["commit"] == "auto",
        auto_commit_interval_ms=300, max_poll_interval_ms=30000, partition_assignment_strategy=[strategy], **settings)
    consumer.subscribe([job["topic"]], listener=Listener())
    while not ended.is_set():
        batch = consumer.poll(timeout_ms=100, max_records=100)
        seen = [(partition.partition, record.offset) for partition, records in batch.items() for record in records]
        if seen:
            tell("records", records=seen)
            if job["commit"] != "auto":
                attempt(job, consumer.commit if job["commit"] == "sync" else consumer.commit_async)
        if paused.is_set():
            consumer.pause(*consumer.assignment())
        elif consumer.paused():
            consumer.resume(*consumer.paused())
    consumer.close()


def aiokafka(job):
    import asyncio

    asyncio.run(aiokafka_run(job))


async def aiokafka_run(job):
    import asyncio

    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    class Listener(ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            tell("given", partitions=numbers(assigned), epoch=consumer._coordinator.generation)

        def on_partitions_revoked(self, revoked):
            tell("taken", partitions=numbers(revoked))

    async def commit():
        try:
            await consumer.commit()
            if job["commit"] == "sync":
                tell("committed")
        except Exception as error:
            tell("error", errors=[f"{type(error).__name__}: {error}"])

    strategy = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor,
                "sticky": StickyPartitionAssignor}[job["strategy"]]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=job["bootstrap"], group_id=job["group"], auto_offset_reset="earliest",
        session_timeout_ms=job["session_ms"], heartbeat_interval_ms=500, enable_auto_commit=job["commit"] == "auto",
        auto_commit_interval_ms=300, max_poll_interval_ms=30000, group_instance_id=job["instance"],
        partition_assignment_strategy=[strategy])
    await consumer.start()
    consumer.subscribe([job["topic"]], listener=Listener())
    background = set()
    while not ended.is_set():
        batch = await consumer.getmany(timeout_ms=100, max_records=100)
        seen = [(partition.partition, record.offset) for partition, records in batch.items() for record in records]
        if seen:
            tell("records", records=seen)
            if job["commit"] == "sync":
                await commit()
            elif job["commit"] == "async" and not background:
                background.add(task := asyncio.create_task(commit()))
                task.add_done_callback(background.discard)
        if paused.is_set():
            consumer.pause(*consumer.assignment())
        elif consumer.paused():
            consumer.resume(*consumer.paused())
    if background:
        await asyncio.wait(background)
    await consumer.stop()


job = json.loads(sys.argv[1])
threading.Thread(target=obey, daemon=True).start()
{"librdkafka": confluent, "kafka-python": kafka_python, "aiokafka": aiokafka}[job["client"]](job)
tell("ended")
