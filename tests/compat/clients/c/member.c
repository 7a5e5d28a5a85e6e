/* A member of a consumer group. What it is told and what it says: see clients/python/member.py. */
#include "client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define PARTITIONS_MAX 1024

static atomic_bool ended, paused;

/* Events come from the one thread that polls. cJSON's numbers are doubles, which hold no nanoseconds of an uptime
 * beyond 104 days; so the time travels as raw text. */
static cJSON *event(const char *name) {
    struct timespec now;
    char at[32];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(at, sizeof at, "%lld%09ld", (long long)now.tv_sec, now.tv_nsec);
    cJSON *told = cJSON_CreateObject();
    cJSON_AddStringToObject(told, "event", name);
    cJSON_AddRawToObject(told, "at", at);
    return told;
}

static void complain(const char *what) {
    cJSON *told = event("error");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(told, "errors"), cJSON_CreateString(what));
    say(told);
}

static cJSON *about(const char *name, const rd_kafka_topic_partition_list_t *partitions) {
    cJSON *told = event(name), *numbers = cJSON_AddArrayToObject(told, "partitions");
    for (int i = 0; i < partitions->cnt; i++)
        cJSON_AddItemToArray(numbers, cJSON_CreateNumber(partitions->elems[i].partition));
    return told;
}

static void check(rd_kafka_error_t *error) {
    if (error) {
        complain(rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}

static void rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t *partitions,
                      void *opaque) {
    const char *protocol = rd_kafka_rebalance_protocol(consumer);
    bool incremental = protocol && strcmp(protocol, "COOPERATIVE") == 0;
    (void)opaque;
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        cJSON *told = about("given", partitions);
        rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata(consumer);
        if (metadata) {
            cJSON_AddNumberToObject(told, "epoch", rd_kafka_consumer_group_metadata_generation_id(metadata));
            rd_kafka_consumer_group_metadata_destroy(metadata);
        }
        say(told);
        if (incremental)
            check(rd_kafka_incremental_assign(consumer, partitions));
        else
            rd_kafka_assign(consumer, partitions);
        return;
    }
    if (what != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        complain(rd_kafka_err2str(what));
    say(about(rd_kafka_assignment_lost(consumer) ? "lost" : "taken", partitions));
    if (incremental)
        check(rd_kafka_incremental_unassign(consumer, partitions));
    else
        rd_kafka_assign(consumer, NULL);
}

static void committed(rd_kafka_t *consumer, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *offsets,
                      void *opaque) {
    (void)consumer, (void)offsets, (void)opaque;
    if (error && error != RD_KAFKA_RESP_ERR__NO_OFFSET)
        complain(rd_kafka_err2str(error));
}

static void *obey(void *unused) {
    char line[64];
    while (fgets(line, sizeof line, stdin))
        atomic_store(&paused, strncmp(line, "pause", 5) == 0);
    atomic_store(&ended, true);
    return unused;
}

static rd_kafka_t *subscribed(const cJSON *job) {
    char error[512], session_ms[16];
    const char *instance = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(job, "instance"));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", text(job, "bootstrap"));
    set(conf, "group.id", text(job, "group"));
    set(conf, "group.protocol", text(job, "protocol"));
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "enable.auto.commit", strcmp(text(job, "commit"), "auto") == 0 ? "true" : "false");
    set(conf, "auto.commit.interval.ms", "300");
    set(conf, "max.poll.interval.ms", "30000");
    set(conf, "reconnect.backoff.max.ms", "1000");
    if (strcmp(text(job, "protocol"), "classic") == 0) {
        snprintf(session_ms, sizeof session_ms, "%d", cJSON_GetObjectItemCaseSensitive(job, "session_ms")->valueint);
        set(conf, "partition.assignment.strategy", text(job, "strategy"));
        set(conf, "session.timeout.ms", session_ms);
        set(conf, "heartbeat.interval.ms", "500");
    } else {
        set(conf, "group.remote.assignor", text(job, "strategy"));
    }
    if (instance)
        set(conf, "group.instance.id", instance);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, committed);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!consumer)
        die("%s", error);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, text(job, "topic"), RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t refused = rd_kafka_subscribe(consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (refused)
        die("subscribe: %s", rd_kafka_err2str(refused));
    return consumer;
}

/* Up to a hundred records, said one by one; how many they were. */
static int take_records(rd_kafka_t *consumer) {
    int count = 0;
    rd_kafka_message_t *record = rd_kafka_consumer_poll(consumer, 100);
    for (; record; record = count < 100 ? rd_kafka_consumer_poll(consumer, 0) : NULL) {
        if (record->err == RD_KAFKA_RESP_ERR__FATAL)
            die("fatal: %s", rd_kafka_message_errstr(record));
        if (record->err) {
            complain(rd_kafka_message_errstr(record));
        } else {
            cJSON *told = event("records"), *pair = cJSON_CreateArray();
            cJSON_AddItemToArray(pair, cJSON_CreateNumber(record->partition));
            cJSON_AddItemToArray(pair, cJSON_CreateNumber((double)record->offset));
            cJSON_AddItemToArray(cJSON_AddArrayToObject(told, "records"), pair);
            say(told);
            count++;
        }
        rd_kafka_message_destroy(record);
    }
    return count;
}

/* A partition that was paused, taken, and is given again is still paused. */
static void hold(rd_kafka_t *consumer, bool *held) {
    rd_kafka_topic_partition_list_t *owned, *change;
    bool wanted = atomic_load(&paused);
    if (rd_kafka_assignment(consumer, &owned))
        return;
    change = rd_kafka_topic_partition_list_new(owned->cnt);
    for (int i = 0; i < owned->cnt; i++) {
        int32_t partition = owned->elems[i].partition;
        if (partition < PARTITIONS_MAX && held[partition] != wanted) {
            held[partition] = wanted;
            rd_kafka_topic_partition_list_add(change, owned->elems[i].topic, partition);
        }
    }
    if (change->cnt)
        (wanted ? rd_kafka_pause_partitions : rd_kafka_resume_partitions)(consumer, change);
    rd_kafka_topic_partition_list_destroy(change);
    rd_kafka_topic_partition_list_destroy(owned);
}

int member(const cJSON *job) {
    bool held[PARTITIONS_MAX] = {false};
    pthread_t input;
    const char *commit = text(job, "commit");
    bool sync = strcmp(commit, "sync") == 0;
    rd_kafka_t *consumer = subscribed(job);
    if (pthread_create(&input, NULL, obey, NULL) != 0)
        die("no thread");
    while (!atomic_load(&ended)) {
        if (take_records(consumer) > 0 && strcmp(commit, "auto") != 0) {
            rd_kafka_resp_err_t error = rd_kafka_commit(consumer, NULL, !sync);
            if (error) /* a rebalance came first; what was not committed is processed again */
                complain(rd_kafka_err2str(error));
            else if (sync)
                say(event("committed"));
        }
        hold(consumer, held);
    }
    rd_kafka_resp_err_t error = rd_kafka_consumer_close(consumer);
    if (error)
        complain(rd_kafka_err2str(error));
    rd_kafka_destroy(consumer);
    say(event("ended"));
    return 0;
}
