/* librdkafka in C: produces with idempotence, consumes by partition; a member of a group (member.c).
 * Plans and streams: see clients/python/stream.py. */
#include "client.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ERROR_BYTES 512

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

const char *text(const cJSON *job, const char *name) {
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(job, name));
    if (!value)
        die("the job has no %s", name);
    return value;
}

void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[ERROR_BYTES];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        die("%s=%s: %s", name, value, error);
}

void say(cJSON *line) {
    char *printed = cJSON_PrintUnformatted(line);
    if (!printed || puts(printed) < 0 || fflush(stdout) != 0)
        exit(1); /* who reads is gone */
    free(printed);
    cJSON_Delete(line);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Streams. */

static void *reserve(size_t bytes) {
    void *room = malloc(bytes ? bytes : 1);
    if (!room)
        die("no memory for %zu bytes", bytes);
    return room;
}

static void take(FILE *source, void *into, size_t bytes) {
    if (bytes && fread(into, 1, bytes, source) != bytes)
        die("the input ends within a record");
}

static int64_t take_number(FILE *source, size_t bytes) {
    unsigned char fixed[8];
    uint64_t number = 0;
    take(source, fixed, bytes);
    for (size_t i = 0; i < bytes; i++)
        number = number << 8 | fixed[i];
    return bytes == 4 ? (int32_t)(uint32_t)number : (int64_t)number;
}

/* NULL for null; what is returned is the caller's. */
static char *take_bytes(FILE *source, size_t *length) {
    int64_t count = take_number(source, 4);
    *length = count < 0 ? 0 : (size_t)count;
    if (count < 0)
        return NULL;
    char *content = reserve(*length + 1);
    take(source, content, *length);
    content[*length] = 0;
    return content;
}

static void put_number(FILE *sink, int64_t number, size_t bytes) {
    for (size_t i = bytes; i-- > 0;)
        fputc((int)((uint64_t)number >> (8 * i) & 0xff), sink);
}

static void put_bytes(FILE *sink, const void *content, size_t length) {
    put_number(sink, content ? (int64_t)length : -1, 4);
    if (content)
        fwrite(content, 1, length, sink);
}

/* Jobs: each returns how many records it moved, or fills `error`. */

struct deliveries {
    int64_t failed;
    char first[ERROR_BYTES / 2];
};

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *record, void *opaque) {
    struct deliveries *deliveries = opaque;
    (void)client;
    if (record->err && deliveries->failed++ == 0)
        snprintf(deliveries->first, sizeof deliveries->first, "%s", rd_kafka_err2str(record->err));
}

static rd_kafka_headers_t *take_headers(FILE *input) {
    int64_t count = take_number(input, 4);
    rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)count);
    for (int64_t i = 0; i < count; i++) {
        size_t name_length, length;
        char *name = take_bytes(input, &name_length), *content = take_bytes(input, &length);
        rd_kafka_header_add(headers, name, (ssize_t)name_length, content, content ? (ssize_t)length : 0);
        free(name);
        free(content);
    }
    return headers;
}

/* false when the producer has no room: then `headers` are still the caller's. */
static bool send_one(rd_kafka_t *producer, const char *topic, int32_t partition, int64_t timestamp, const char *key,
                     size_t key_length, const char *value, size_t length, rd_kafka_headers_t *headers) {
    rd_kafka_resp_err_t error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_TIMESTAMP(timestamp),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_length),
        RD_KAFKA_V_VALUE((void *)value, length), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (error && error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
        die("produce: %s", rd_kafka_err2str(error));
    return !error;
}

static int64_t produce(const char *bootstrap, const cJSON *job, int limit_ms, char *error) {
    struct deliveries deliveries = {0};
    char limit[16];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    snprintf(limit, sizeof limit, "%d", limit_ms);
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "compression.type", text(job, "codec"));
    set(conf, "acks", "all");
    set(conf, "linger.ms", "20");
    set(conf, "enable.idempotence", "true");
    set(conf, "message.timeout.ms", limit);
    set(conf, "reconnect.backoff.max.ms", "500");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, &deliveries);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, ERROR_BYTES);
    FILE *input = fopen(text(job, "input"), "rb");
    if (!producer || !input)
        die("%s: %s", text(job, "input"), error);
    int64_t sent = 0;
    for (int next = fgetc(input); next != EOF; next = fgetc(input)) {
        ungetc(next, input);
        size_t key_length, length;
        int32_t partition = (int32_t)take_number(input, 4);
        int64_t timestamp = take_number(input, 8);
        char *key = take_bytes(input, &key_length), *value = take_bytes(input, &length);
        rd_kafka_headers_t *headers = take_headers(input);
        while (!send_one(producer, text(job, "topic"), partition, timestamp, key, key_length, value, length, headers))
            rd_kafka_poll(producer, 100);
        rd_kafka_poll(producer, 0);
        free(key);
        free(value);
        sent++;
    }
    fclose(input);
    rd_kafka_resp_err_t unflushed = rd_kafka_flush(producer, limit_ms);
    if (deliveries.failed)
        snprintf(error, ERROR_BYTES, "%lld undelivered, the first: %s", (long long)deliveries.failed, deliveries.first);
    else if (unflushed)
        snprintf(error, ERROR_BYTES, "flush: %s", rd_kafka_err2str(unflushed));
    rd_kafka_destroy(producer);
    return sent;
}

static void write_record(FILE *output, const rd_kafka_message_t *record) {
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_message_headers(record, &headers); /* stays NULL where there are none */
    size_t count = headers ? rd_kafka_header_cnt(headers) : 0;
    put_number(output, record->offset, 8);
    put_number(output, rd_kafka_message_timestamp(record, NULL), 8);
    put_bytes(output, record->key, record->key_len);
    put_bytes(output, record->payload, record->len);
    put_number(output, (int64_t)count, 4);
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const void *content;
        size_t length;
        rd_kafka_header_get_all(headers, i, &name, &content, &length);
        put_bytes(output, name, strlen(name));
        put_bytes(output, content, length);
    }
}

static int64_t end_offset(rd_kafka_t *consumer, const char *topic, int32_t partition, double deadline) {
    int64_t start, end;
    rd_kafka_resp_err_t error;
    while ((error = rd_kafka_query_watermark_offsets(consumer, topic, partition, &start, &end, 10000)))
        if (seconds() > deadline)
            die("no end offset of partition %d: %s", partition, rd_kafka_err2str(error));
    return end;
}

static int64_t consume(const char *bootstrap, const cJSON *job, int limit_ms, char *error) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", "compat");
    set(conf, "enable.auto.commit", "false");
    set(conf, "check.crcs", "true");
    set(conf, "reconnect.backoff.max.ms", "500");
    set(conf, "queued.max.messages.kbytes", "16384");
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, ERROR_BYTES);
    if (!consumer)
        die("%s", error);
    rd_kafka_poll_set_consumer(consumer);
    double deadline = seconds() + limit_ms / 1e3;
    const char *topic = text(job, "topic");
    int count = cJSON_GetObjectItemCaseSensitive(job, "partitions")->valueint, open_partitions = 0;
    int64_t *ends = reserve((size_t)count * sizeof *ends), received = 0;
    FILE **outputs = reserve((size_t)count * sizeof *outputs);
    rd_kafka_topic_partition_list_t *wanted = rd_kafka_topic_partition_list_new(count);
    for (int p = 0; p < count; p++) {
        ends[p] = end_offset(consumer, topic, p, deadline);
        open_partitions += ends[p] > 0;
        rd_kafka_topic_partition_list_add(wanted, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    for (int p = 0; p < count; p++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d", text(job, "output"), p);
        outputs[p] = fopen(path, "wb");
        if (!outputs[p])
            die("cannot write %s", path);
    }
    rd_kafka_assign(consumer, wanted);
    rd_kafka_topic_partition_list_destroy(wanted);
    while (open_partitions > 0) {
        if (seconds() > deadline) {
            snprintf(error, ERROR_BYTES, "%d partitions not at their end", open_partitions);
            break;
        }
        rd_kafka_message_t *record = rd_kafka_consumer_poll(consumer, 100);
        if (!record)
            continue;
        /* An error that does not pass (the broker may be down just now) runs into the deadline. */
        if (!record->err) {
            write_record(outputs[record->partition], record);
            received++;
            if (record->offset + 1 == ends[record->partition])
                open_partitions--;
        }
        rd_kafka_message_destroy(record);
    }
    for (int p = 0; p < count; p++)
        if (ferror(outputs[p]) | fclose(outputs[p]))
            die("writing partition %d failed", p);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    free(outputs);
    free(ends);
    return received;
}

static cJSON *read_plan(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        die("cannot read %s", path);
    size_t length = (size_t)ftell(file);
    char *content = reserve(length + 1);
    rewind(file);
    take(file, content, length);
    content[length] = 0;
    fclose(file);
    cJSON *plan = cJSON_Parse(content);
    free(content);
    return plan;
}

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "member") == 0)
        return member(cJSON_Parse(arguments[2]));
    cJSON *plan = count == 2 ? read_plan(arguments[1]) : NULL;
    if (!plan)
        die("a plan, or `member` and a job");
    const cJSON *job;
    int failed = 0;
    cJSON_ArrayForEach(job, cJSON_GetObjectItemCaseSensitive(plan, "jobs")) {
        char error[ERROR_BYTES] = "";
        double began = seconds();
        bool producing = strcmp(text(job, "op"), "produce") == 0;
        int limit_ms = 1000 * cJSON_GetObjectItemCaseSensitive(job, "timeout_s")->valueint;
        int64_t records = (producing ? produce : consume)(text(plan, "bootstrap"), job, limit_ms, error);
        cJSON *line = cJSON_CreateObject();
        cJSON_AddStringToObject(line, "op", text(job, "op"));
        cJSON_AddStringToObject(line, "topic", text(job, "topic"));
        cJSON_AddNumberToObject(line, "records", (double)records);
        cJSON_AddNumberToObject(line, "seconds", seconds() - began);
        if (*error) {
            cJSON_AddStringToObject(line, "error", error);
            failed = 1;
        }
        say(line);
    }
    cJSON_Delete(plan);
    return failed;
}
