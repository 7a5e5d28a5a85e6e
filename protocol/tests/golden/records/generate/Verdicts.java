// Asks Kafka's own produce path what it says to good, wrong and damaged batches; see ../README.md.
// Prints lines of: name, rules, batch in hex, Kafka's answer.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import java.util.function.Consumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.CorruptRecordException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.Crc32C;
import org.apache.kafka.common.utils.MockTime;
import org.apache.kafka.common.utils.PrimitiveRef;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;
import org.apache.kafka.storage.internals.log.RecordValidationException;

public class Verdicts {
    static final long NOW = 1_760_000_000_000L;
    static final int MAX_BYTES = 400;
    static final Compression[] CODECS = {
        Compression.NONE, Compression.gzip().build(), Compression.snappy().build(), Compression.lz4().build(),
        Compression.zstd().build()};

    public static void main(String[] args) {
        for (Compression codec : CODECS) {
            byte[] good = batch(codec, 3, NOW, true);
            String name = codec.type().name;
            for (String rules : new String[] {"create", "compact", "append", "v6"})
                judge(name, rules, good);
            judge(name + "-nokey", "create", batch(codec, 3, NOW, false));
            judge(name + "-nokey", "compact", batch(codec, 3, NOW, false));
            for (long time : new long[] {-1, 0, NOW - 1_000_000, NOW - 1_000_001, NOW + 3_600_000, NOW + 3_600_001})
                for (String rules : new String[] {"create", "append", "recent"})
                    judge(name + "-time" + (time - NOW), rules, batch(codec, 1, time, true));
            judge(name + "-two", "create", concat(good, good));
            judge(name + "-cut", "create", Arrays.copyOf(good, good.length - 1));
            judge(name + "-head", "create", Arrays.copyOf(good, 20));
            judge(name + "-extra", "create", Arrays.copyOf(good, good.length + 1));
            judge(name + "-crc", "create", edit(good, false, b -> b.put(b.limit() - 1, (byte) 99)));
            judge(name + "-offset", "create", edit(good, true, b -> b.putLong(0, 5)));
            for (int length : new int[] {-1, 0, 13, 14, 48, 49, Integer.MAX_VALUE})
                judge(name + "-length" + length, "create", edit(good, false, b -> b.putInt(8, length)));
            for (int magic : new int[] {-1, 0, 1, 3})
                judge(name + "-magic" + magic, "create", edit(good, true, b -> b.put(16, (byte) magic)));
            for (int bit = 0; bit < 16; bit++) {
                short flag = (short) (1 << bit);
                judge(name + "-bit" + bit, "create", edit(good, true, b -> b.putShort(21, (short) (b.getShort(21) ^ flag))));
                if (bit == 3)
                    judge(name + "-bit" + bit, "append", edit(good, true, b -> b.putShort(21, (short) (b.getShort(21) ^ flag))));
            }
            for (int delta : new int[] {-1, 0, 1, 3, Integer.MAX_VALUE, Integer.MIN_VALUE})
                judge(name + "-delta" + delta, "create", edit(good, true, b -> b.putInt(23, delta)));
            for (int count : new int[] {-1, 0, 1, 2, 4, 1_000_000})
                judge(name + "-count" + count, "create", edit(good, true, b -> b.putInt(23, count - 1).putInt(57, count)));
            judge(name + "-maxtime", "create", edit(good, true, b -> b.putLong(35, NOW + 1)));
            for (long id : codec == Compression.NONE ? new long[] {-2, -1, 0, 4711} : new long[0])
                for (int epoch : new int[] {-1, 0})
                    for (int sequence : new int[] {-1, 0})
                        for (int transactional : new int[] {0, 16})
                            judge(name + "-producer" + id + "/" + epoch + "/" + sequence + "/" + transactional, "create",
                                edit(good, true, b -> b.putLong(43, id).putShort(51, (short) epoch).putInt(53, sequence)
                                    .putShort(21, (short) (b.getShort(21) | transactional))));
            Random random = new Random(7);
            for (int round = 0; round < (codec == Compression.NONE ? 120 : 40); round++) {
                int at = 61 + random.nextInt(good.length - 61);
                byte to = (byte) random.nextInt();
                judge(name + "-random" + round, "create", edit(good, true, b -> b.put(at, to)));
            }
        }
        judge("none-large", "create", batch(Compression.NONE, 20, NOW, true));
        judge("none-empty", "create", new byte[0]);
    }

    static byte[] batch(Compression codec, int count, long timestamp, boolean keys) {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 16);
        MemoryRecordsBuilder builder =
            MemoryRecords.builder(buffer, (byte) 2, codec, TimestampType.CREATE_TIME, 0, -1, -1, (short) -1, -1, false, -1);
        for (int i = 0; i < count; i++) {
            byte[] key = keys || i == 0 ? ("k" + i).getBytes(StandardCharsets.UTF_8) : null;
            Header[] headers = {new RecordHeader("h", new byte[] {1, 2}), new RecordHeader("n", (byte[]) null)};
            builder.append(timestamp, key, "some value".getBytes(StandardCharsets.UTF_8), headers);
        }
        MemoryRecords records = builder.build();
        byte[] bytes = new byte[records.sizeInBytes()];
        records.buffer().get(bytes);
        return bytes;
    }

    static byte[] edit(byte[] good, boolean seal, Consumer<ByteBuffer> change) {
        ByteBuffer buffer = ByteBuffer.wrap(good.clone());
        change.accept(buffer);
        if (seal)
            buffer.putInt(17, (int) Crc32C.compute(buffer.array(), 21, good.length - 21));
        return buffer.array();
    }

    static byte[] concat(byte[] a, byte[] b) {
        byte[] both = Arrays.copyOf(a, a.length + b.length);
        System.arraycopy(b, 0, both, a.length, b.length);
        return both;
    }

    static void judge(String name, String rules, byte[] bytes) {
        String answer;
        try {
            produce(rules, MemoryRecords.readableRecords(ByteBuffer.wrap(bytes.clone())));
            answer = "NONE";
        } catch (RecordValidationException e) {
            answer = Errors.forException(e.invalidException()).name();
        } catch (Throwable e) {
            answer = Errors.forException(e).name();
        }
        System.out.println(name + " " + rules + " " + HexFormat.of().formatHex(bytes) + (bytes.length == 0 ? "- " : " ") + answer);
    }

    // What ReplicaManager and UnifiedLog do with a produced partition before it is written, in their order.
    static void produce(String rules, MemoryRecords records) {
        ProduceRequest.validateRecords((short) (rules.equals("v6") ? 6 : 11), records);
        CompressionType codec = CompressionType.NONE;
        for (MutableRecordBatch batch : records.batches()) {
            if (batch.baseOffset() != 0)
                throw new InvalidRecordException("base offset");
            if (batch.sizeInBytes() > MAX_BYTES)
                throw new RecordTooLargeException("size");
            if (!batch.isValid())
                throw new CorruptRecordException("crc");
            codec = batch.compressionType();
        }
        CompressionType source = codec;
        Compression target = Arrays.stream(CODECS).filter(c -> c.type() == source).findFirst().get();
        TimestampType type = rules.equals("append") ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        long before = rules.equals("recent") ? 1_000_000 : Long.MAX_VALUE;
        new LogValidator(records, new TopicPartition("t", 0), new MockTime(0, NOW, 0), source, target,
            rules.equals("compact"), (byte) 2, type, before, 3_600_000, 1, AppendOrigin.CLIENT)
            .validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(0), new Metrics(), BufferSupplier.NO_CACHING);
    }

    static class Metrics implements LogValidator.MetricsRecorder {
        public void recordInvalidMagic() {}
        public void recordInvalidOffset() {}
        public void recordInvalidSequence() {}
        public void recordInvalidChecksums() {}
        public void recordNoKeyCompactedTopic() {}
    }
}
