"""aiokafka: produces with idempotence and consumes by partition."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

import stream

_IN_FLIGHT_MAX = 2000


async def produce(bootstrap, job):
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=20, max_batch_size=64 * 1024, enable_idempotence=True,
        compression_type=None if job["codec"] == "none" else job["codec"],
    )
    await producer.start()
    sent, waiting = 0, []
    try:
        for partition, timestamp, key, value, headers in stream.read_records(job["input"]):
            waiting.append(await producer.send(job["topic"], value=value, key=key, headers=headers,
                                               partition=partition, timestamp_ms=timestamp))
            sent += 1
            if len(waiting) >= _IN_FLIGHT_MAX:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return {"records": sent}


async def consume(bootstrap, job):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, check_crcs=True)
    await consumer.start()
    try:
        partitions = [TopicPartition(job["topic"], number) for number in range(job["partitions"])]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        outputs = stream.Outputs(job["output"], job["partitions"])
        left = {partition for partition in partitions if ends[partition] > 0}
        while left:
            for partition, records in (await consumer.getmany(timeout_ms=500, max_records=5000)).items():
                for record in records:
                    outputs.write(partition.partition, record.offset, record.timestamp, record.key, record.value,
                                  record.headers)
                if records[-1].offset + 1 >= ends[partition]:
                    left.discard(partition)
        outputs.close()
    finally:
        await consumer.stop()
    return {"records": outputs.records}


def bounded(operation):
    return lambda bootstrap, job: asyncio.run(asyncio.wait_for(operation(bootstrap, job), job["timeout_s"]))


sys.exit(stream.main({"produce": bounded(produce), "consume": bounded(consume)}))
