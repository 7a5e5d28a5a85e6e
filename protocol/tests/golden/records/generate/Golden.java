// Writes golden batches with Kafka's own client library; see ../README.md.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;

public class Golden {
    static final long START = 1_760_000_000_000L;

    public static void main(String[] args) throws Exception {
        Path out = Path.of(args[0]);
        Object[][] codecs = {
            {"none", Compression.NONE}, {"gzip", Compression.gzip().build()}, {"snappy", Compression.snappy().build()},
            {"lz4", Compression.lz4().build()}, {"zstd", Compression.zstd().build()},
        };
        for (Object[] codec : codecs) {
            write(out, "java-" + codec[0] + "-small", (Compression) codec[1], 1);
            if (codec[1] != Compression.NONE)
                write(out, "java-" + codec[0] + "-large", (Compression) codec[1], 300);
        }
        write(out, "java-zstd22-large", Compression.zstd().level(22).build(), 300);
        MemoryRecords marker = MemoryRecords.withEndTransactionMarker(
            77, START, 5, 4711, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 9));
        save(out, "java-commit-marker", marker);
    }

    static void write(Path out, String name, Compression compression, int repeat) throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 22);
        MemoryRecordsBuilder builder = MemoryRecords.builder(
            buffer, (byte) 2, compression, TimestampType.CREATE_TIME, 0, -1, 4711, (short) 3, 42, false, false, 6);
        for (int i = 0; i < 12; i++) {
            byte[] key = i % 4 == 0 ? null : bytes("key-" + i);
            byte[] value = i == 5 ? null : i == 6 ? new byte[0] : bytes(("value " + i + " ").repeat((3 * i + 1) * repeat));
            Header index = new RecordHeader("index", bytes("" + i));
            Header[] headers = i % 3 == 0
                ? new Header[] {index, new RecordHeader("nul", (byte[]) null)} : new Header[] {index};
            builder.append(START + 10 * i, key, value, headers);
        }
        save(out, name, builder.build());
    }

    static void save(Path out, String name, MemoryRecords records) throws Exception {
        byte[] bytes = new byte[records.sizeInBytes()];
        records.buffer().get(bytes);
        Files.write(out.resolve(name + ".bin"), bytes);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
