import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Apache's Java client as a member of a group. What it is told and what it says: see clients/python/member.py. */
public class Member implements ConsumerRebalanceListener {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, String> ASSIGNORS = Map.of(
            "range", "org.apache.kafka.clients.consumer.RangeAssignor",
            "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
            "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    private static volatile boolean ended;
    private static volatile boolean paused;

    private final String commit;
    private final KafkaConsumer<byte[], byte[]> consumer;

    public static void main(String[] args) throws Exception {
        JsonNode job = JSON.readTree(args[0]);
        Thread input = new Thread(Member::obey);
        input.setDaemon(true);
        input.start();
        new Member(job).run(job.get("topic").asText());
        tell(event("ended"));
        System.exit(0);
    }

    private Member(JsonNode job) {
        commit = job.get("commit").asText();
        String strategy = job.get("strategy").asText();
        Map<String, Object> config = new HashMap<>(Map.of(
                "bootstrap.servers", job.get("bootstrap").asText(),
                "group.id", job.get("group").asText(),
                "group.protocol", job.get("protocol").asText(),
                "auto.offset.reset", "earliest",
                "enable.auto.commit", commit.equals("auto"),
                "auto.commit.interval.ms", 300,
                "max.poll.records", 100,
                "reconnect.backoff.max.ms", 1000,
                "key.deserializer", ByteArrayDeserializer.class,
                "value.deserializer", ByteArrayDeserializer.class));
        config.put("max.poll.interval.ms", 30_000);
        if (job.get("protocol").asText().equals("classic")) {
            config.put("partition.assignment.strategy", ASSIGNORS.get(strategy));
            config.put("session.timeout.ms", job.get("session_ms").asInt());
            config.put("heartbeat.interval.ms", 500);
        } else {
            config.put("group.remote.assignor", strategy);
        }
        if (job.hasNonNull("instance")) {
            config.put("group.instance.id", job.get("instance").asText());
        }
        consumer = new KafkaConsumer<>(config);
    }

    private void run(String topic) {
        consumer.subscribe(List.of(topic), this);
        while (!ended) {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
            if (!records.isEmpty()) {
                ObjectNode told = event("records");
                ArrayNode seen = told.putArray("records");
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    seen.addArray().add(record.partition()).add(record.offset());
                }
                tell(told);
                commit();
            }
            if (paused) {
                consumer.pause(consumer.assignment());
            } else if (!consumer.paused().isEmpty()) {
                consumer.resume(consumer.paused());
            }
        }
        consumer.close();
    }

    private void commit() {
        try {
            if (commit.equals("sync")) {
                consumer.commitSync();
                tell(event("committed"));
            } else if (commit.equals("async")) {
                consumer.commitAsync((offsets, error) -> complain(error));
            }
        } catch (KafkaException error) { // a rebalance came first; what was not committed is processed again
            complain(error);
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        tell(of("given", partitions).put("epoch", consumer.groupMetadata().generationId()));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        tell(of("taken", partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        tell(of("lost", partitions));
    }

    private static void complain(Exception error) {
        if (error != null) {
            ObjectNode told = event("error");
            told.putArray("errors").add(error.toString());
            tell(told);
        }
    }

    private static ObjectNode of(String name, Collection<TopicPartition> partitions) {
        ObjectNode told = event(name);
        ArrayNode numbers = told.putArray("partitions");
        partitions.forEach(partition -> numbers.add(partition.partition()));
        return told;
    }

    private static ObjectNode event(String name) {
        return JSON.createObjectNode().put("event", name);
    }

    /** System.nanoTime is CLOCK_MONOTONIC. */
    private static void tell(ObjectNode event) {
        synchronized (JSON) {
            System.out.println(event.put("at", System.nanoTime()));
            System.out.flush();
        }
    }

    private static void obey() {
        try (BufferedReader input = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                paused = line.strip().equals("pause");
            }
        } catch (java.io.IOException gone) {
            complain(gone);
        }
        ended = true;
    }
}
