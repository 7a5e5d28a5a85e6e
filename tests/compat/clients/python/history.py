"""librdkafka through its Python binding: a seeded history of keyed records, for two brokers to compact.

Jobs come as JSON lines of a file, answers leave as JSON lines: `produce` (plain, idempotent or transactional),
`interleave` (transactions of several producers at once, aborted, committed, one left open), `alter` (topic configs),
`consume` (read_uncommitted, from the start to the end).
"""

import json
import os
import random
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

BASE_TIMESTAMP = 1_760_000_000_000


def produce(bootstrap, job):
    dice = random.Random(job["seed"])
    config = {"bootstrap.servers": bootstrap, "compression.type": job["codec"], "acks": "all", "linger.ms": 5,
              "batch.num.messages": 20, "enable.idempotence": job["kind"] != "plain"}
    if job["kind"] == "transactions":
        config["transactional.id"] = job["topic"]
    producer = Producer(config)
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(str(error))

    def send(key, value):
        timestamp = BASE_TIMESTAMP + job["first"] * 1000 + dice.randrange(1000)
        headers = [("n", str(dice.randrange(9)).encode())] if dice.random() < 0.3 else None
        producer.produce(job["topic"], key=key, value=value, partition=0, timestamp=timestamp, headers=headers,
                         on_delivery=delivered)
        producer.poll(0)

    def some(count):
        for _ in range(count):
            key = f"key {dice.randrange(job['keys'])}".encode()
            if dice.random() < 0.1:
                send(key, None)
            else:
                # Half of it compresses.
                send(key, dice.randbytes(job["value_bytes"] // 2) + b"." * (job["value_bytes"] // 2))

    if job["kind"] == "transactions":
        producer.init_transactions(60)
        for _ in range(job["batches"]):
            producer.begin_transaction()
            some(dice.randrange(1, 30))
            if dice.random() < 0.35:
                # Written first, so that there is something to abort.
                producer.flush(60)
                producer.abort_transaction(60)
                failures = [text for text in failures if "PURGE" not in text.upper()]
            else:
                producer.commit_transaction(60)
    else:
        for _ in range(job["batches"]):
            some(dice.randrange(1, 30))
            producer.flush(60)
    left = producer.flush(60)
    if left or failures:
        raise RuntimeError(f"{left} undelivered, {failures[:3]}")
    return {}


def interleave(bootstrap, job):
    """Transactions that overlap, over all topics of the job. Then each topic has a plain record of its own, and in
    those of `left_open` a transaction begins that never ends, with more transactions behind it."""
    dice = random.Random(job["seed"])
    common = {"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "compression.type": "none",
              "transaction.timeout.ms": 900_000}
    writers = [Producer(common | {"transactional.id": f"writer {number}"}) for number in range(job["producers"] + 1)]
    plain = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for writer in writers:
        writer.init_transactions(60)
    *writers, hanging = writers
    counts = {"aborted": 0, "committed": 0}

    def write(producer, topic, key=None):
        key = key or f"key {dice.randrange(40)}"
        producer.produce(topic, key=key.encode(), value=dice.randbytes(job["value_bytes"]), partition=0)
        if producer.flush(60):
            raise RuntimeError("a record was not delivered")

    def end(producer):
        if dice.random() < 0.5:
            producer.abort_transaction(60)
            counts["aborted"] += 1
        else:
            producer.commit_transaction(60)
            counts["committed"] += 1

    def turns(topics, count):
        begun = set()
        for _ in range(count):
            writer = dice.choice([*writers, plain])
            if writer is not plain and writer not in begun:
                writer.begin_transaction()
                begun.add(writer)
            for topic in topics:
                write(writer, topic)
            if writer is not plain and dice.random() < 0.3:
                end(writer)
                begun.discard(writer)
        for writer in sorted(begun, key=writers.index):
            end(writer)

    turns(job["topics"], job["turns"])
    for topic in job["topics"]:
        write(plain, topic, "the last that is stable")
    hanging.begin_transaction()
    for topic in job["left_open"]:
        write(hanging, topic)
    turns(job["left_open"], job["turns"] // 10)
    print(json.dumps(counts), flush=True)
    # Not as a client that goes in peace: the transaction stays open.
    os._exit(0)


def alter(bootstrap, job):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
               for name, value in job["configs"].items()]
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
                 for topic in job["topics"]]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(60)
    return {}


def consume(bootstrap, job):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "history", "enable.auto.commit": False,
                         "isolation.level": "read_uncommitted", "enable.partition.eof": True, "check.crcs": True})
    found = {}
    for topic in job["topics"]:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        records, deadline = [], time.monotonic() + 60
        while time.monotonic() < deadline:
            message = consumer.poll(5)
            if message is None:
                continue
            if message.error():
                if message.error().code() == -191:  # the end of the partition
                    break
                raise KafkaException(message.error())
            value = message.value()
            headers = [[name, text.decode()] for name, text in message.headers() or []]
            records.append([message.offset(), message.timestamp()[1], message.key().decode(),
                            None if value is None else value.hex(), headers])
        else:
            raise TimeoutError(f"{topic}: not at its end after 60 s")
        found[topic] = records
    consumer.close()
    return found


def main():
    with open(sys.argv[1], encoding="utf-8") as plan:
        jobs = [json.loads(line) for line in plan]
    for job in jobs:
        operations = {"produce": produce, "interleave": interleave, "alter": alter, "consume": consume}
        print(json.dumps(operations[job["op"]](job["bootstrap"], job)), flush=True)


main()
