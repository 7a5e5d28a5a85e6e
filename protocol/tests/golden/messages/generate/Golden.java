import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.RequestUtils;
import org.apache.kafka.common.requests.ResponseHeader;

/** Turns the cases of cases.py into frames, with Kafka's own serializers; "errors" as first argument lists error codes. */
public class Golden {
    private static final int CORRELATION_ID = 4310;
    private static final String CLIENT_ID = "golden";

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        if (args[0].equals("errors")) {
            for (Errors error : Errors.values()) {
                out.println(error.code() + " " + error.name() + " " + (error.exception() instanceof RetriableException));
            }
        } else {
            ObjectMapper mapper = new ObjectMapper();
            for (String line : Files.readAllLines(Path.of(args[0]))) {
                JsonNode test = mapper.readTree(line);
                String name = test.get("name").asText();
                short version = (short) test.get("version").asInt();
                byte[] frame = frame(name, ApiKeys.forId(test.get("key").asInt()), version, test.get("json"));
                out.println(name + " " + version + " " + HexFormat.of().formatHex(frame) + " " + test.get("debug").asText());
            }
        }
        out.flush();
    }

    private static byte[] frame(String name, ApiKeys api, short version, JsonNode json) throws Exception {
        Class<?> converter = Class.forName("org.apache.kafka.common.message." + name + "DataJsonConverter");
        ApiMessage data = (ApiMessage) converter.getMethod("read", JsonNode.class, short.class).invoke(null, json, version);
        ByteBuffer buffer;
        if (name.endsWith("Request")) {
            RequestHeader header = new RequestHeader(api, version, CLIENT_ID, CORRELATION_ID);
            buffer = RequestUtils.serialize(header.data(), header.headerVersion(), data, version);
        } else {
            ResponseHeader header = new ResponseHeader(CORRELATION_ID, api.responseHeaderVersion(version));
            buffer = RequestUtils.serialize(header.data(), header.headerVersion(), data, version);
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }
}
