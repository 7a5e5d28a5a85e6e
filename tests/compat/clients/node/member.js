// kafkajs: a member of a consumer group. What it is told and what it says: see clients/python/member.py.
const fs = require('fs')
const readline = require('readline')
const { Kafka, PartitionAssigners, logLevel } = require('kafkajs')

const job = JSON.parse(process.argv[2])

// process.hrtime is CLOCK_MONOTONIC; its nanoseconds are past what a JSON number of this language holds.
function tell(event, what = {}) {
  const line = JSON.stringify({ event, at: 0, ...what }).replace('"at":0', `"at":${process.hrtime.bigint()}`)
  fs.writeSync(1, line + '\n')
}

let owned = []
let paused = false

// The client tells its generation to its own log alone.
let epoch = null
function log({ level, log }) {
  if (log.message === 'Received assignment') epoch = log.generationId
  if (level <= logLevel.ERROR) tell('error', { errors: [`${log.message}: ${log.error || ''}`] })
}

function forget() {
  if (owned.length) tell('taken', { partitions: owned })
  owned = []
}

async function main() {
  const kafka = new Kafka({
    clientId: 'compat', brokers: [job.bootstrap], logLevel: logLevel.DEBUG, logCreator: () => log,
    retry: { retries: 50, initialRetryTime: 100, maxRetryTime: 1000 },
  })
  const consumer = kafka.consumer({
    groupId: job.group, sessionTimeout: job.session_ms, heartbeatInterval: 500, rebalanceTimeout: 30000,
    maxWaitTimeInMs: 100, partitionAssigners: [PartitionAssigners.roundRobin],
  })
  consumer.on(consumer.events.REBALANCING, forget)
  consumer.on(consumer.events.CRASH, forget)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    forget()
    owned = payload.memberAssignment[job.topic] || []
    tell('given', { partitions: owned, epoch })
    if (paused) consumer.pause([{ topic: job.topic }])
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [job.topic], fromBeginning: true })
  await consumer.run({
    autoCommit: job.commit === 'auto',
    autoCommitInterval: 300,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, isStale, isRunning }) => {
      if (isStale() || !isRunning() || !owned.includes(batch.partition)) return
      const seen = batch.messages.map(({ offset }) => [batch.partition, Number(offset)])
      if (!seen.length) return
      tell('records', { records: seen })
      resolveOffset(batch.lastOffset())
      if (job.commit === 'auto') return
      const offset = (BigInt(batch.lastOffset()) + 1n).toString()
      const commit = consumer.commitOffsets([{ topic: job.topic, partition: batch.partition, offset }])
        .then(() => job.commit === 'sync' && tell('committed', { partition: batch.partition }))
      const failed = error => tell('error', { errors: [String(error)] })
      if (job.commit === 'sync') await commit.catch(failed)
      else commit.catch(failed)
    },
  })
  const input = readline.createInterface({ input: process.stdin })
  input.on('line', line => {
    paused = line.trim() === 'pause'
    if (paused) consumer.pause([{ topic: job.topic }])
    else consumer.resume([{ topic: job.topic }])
  })
  input.on('close', async () => {
    await consumer.disconnect()
    forget()
    tell('ended')
    process.exit(0)
  })
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
