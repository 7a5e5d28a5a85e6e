import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache's Java client: produces with idempotence, consumes by partition. Streams: see clients/python/stream.py. */
public class Client {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        JsonNode plan = JSON.readTree(new File(args[0]));
        int failed = 0;
        String bootstrap = plan.get("bootstrap").asText();
        for (JsonNode job : plan.get("jobs")) {
            long began = System.nanoTime();
            ObjectNode result = JSON.createObjectNode();
            result.put("op", job.get("op").asText()).put("topic", job.get("topic").asText());
            try {
                boolean producing = job.get("op").asText().equals("produce");
                result.put("records", producing ? produce(bootstrap, job) : consume(bootstrap, job));
            } catch (Exception error) {
                result.put("error", error + (error.getCause() == null ? "" : ", " + error.getCause()));
                failed = 1;
            }
            System.out.println(result.put("seconds", (System.nanoTime() - began) / 1e9));
        }
        System.exit(failed);
    }

    private static long produce(String bootstrap, JsonNode job) throws Exception {
        int timeoutMs = job.get("timeout_s").asInt() * 1000;
        Map<String, Object> config = Map.of(
                "bootstrap.servers", bootstrap,
                "compression.type", job.get("codec").asText(),
                "linger.ms", 20,
                "delivery.timeout.ms", Math.max(timeoutMs, 60_000), // at least linger.ms and request.timeout.ms
                "reconnect.backoff.max.ms", 500,
                "key.serializer", ByteArraySerializer.class,
                "value.serializer", ByteArraySerializer.class);
        AtomicReference<Exception> failure = new AtomicReference<>();
        long sent = 0;
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config);
                DataInputStream in = input(job.get("input").asText())) {
            while (true) {
                int partition;
                try {
                    partition = in.readInt();
                } catch (EOFException end) {
                    break;
                }
                long timestamp = in.readLong();
                byte[] key = readBytes(in);
                byte[] value = readBytes(in);
                List<Header> headers = new ArrayList<>();
                for (int left = in.readInt(); left > 0; left--) {
                    String name = new String(readBytes(in), StandardCharsets.UTF_8);
                    headers.add(new RecordHeader(name, readBytes(in)));
                }
                String topic = job.get("topic").asText();
                producer.send(new ProducerRecord<>(topic, partition, timestamp, key, value, headers), (done, error) -> {
                    if (error != null) {
                        failure.compareAndSet(null, error);
                    }
                });
                sent++;
            }
            producer.flush();
        }
        if (failure.get() != null) {
            throw failure.get();
        }
        return sent;
    }

    private static long consume(String bootstrap, JsonNode job) throws Exception {
        int partitionCount = job.get("partitions").asInt();
        long timeoutMs = job.get("timeout_s").asLong() * 1000;
        Map<String, Object> config = Map.of(
                "bootstrap.servers", bootstrap,
                "enable.auto.commit", false,
                "max.poll.records", 5000,
                "isolation.level", job.path("isolation").asText("read_uncommitted"),
                "default.api.timeout.ms", (int) timeoutMs,
                "reconnect.backoff.max.ms", 500,
                "key.deserializer", ByteArrayDeserializer.class,
                "value.deserializer", ByteArrayDeserializer.class);
        List<TopicPartition> partitions = new ArrayList<>();
        List<DataOutputStream> outputs = new ArrayList<>();
        for (int number = 0; number < partitionCount; number++) {
            partitions.add(new TopicPartition(job.get("topic").asText(), number));
            FileOutputStream file = new FileOutputStream(new File(job.get("output").asText(), "" + number));
            outputs.add(new DataOutputStream(new BufferedOutputStream(file, 1 << 20)));
        }
        long deadline = System.currentTimeMillis() + timeoutMs;
        long received = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
            consumer.assign(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            partitions.forEach(partition -> consumer.seek(partition, 0));
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                if (System.currentTimeMillis() > deadline) {
                    throw new IllegalStateException("not at the end after " + timeoutMs + " ms");
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    write(outputs.get(record.partition()), record);
                    received++;
                }
            }
        }
        for (DataOutputStream output : outputs) {
            output.close();
        }
        return received;
    }

    private static void write(DataOutputStream out, ConsumerRecord<byte[], byte[]> record) throws IOException {
        out.writeLong(record.offset());
        out.writeLong(record.timestamp());
        writeBytes(out, record.key());
        writeBytes(out, record.value());
        Header[] headers = record.headers().toArray();
        out.writeInt(headers.length);
        for (Header header : headers) {
            writeBytes(out, header.key().getBytes(StandardCharsets.UTF_8));
            writeBytes(out, header.value());
        }
    }

    private static DataInputStream input(String path) throws IOException {
        return new DataInputStream(new BufferedInputStream(new FileInputStream(path), 1 << 20));
    }

    private static byte[] readBytes(DataInputStream in) throws IOException {
        int length = in.readInt();
        return length < 0 ? null : in.readNBytes(length);
    }

    private static void writeBytes(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes == null ? -1 : bytes.length);
        if (bytes != null) {
            out.write(bytes);
        }
    }
}
