/* What the parts of the client of librdkafka in C share. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <librdkafka/rdkafka.h>

#include "cJSON.h" /* librdkafka carries it */

/* Says why on standard error, and ends. */
_Noreturn void die(const char *format, ...);

/* A string of the job; ends where there is none. */
const char *text(const cJSON *job, const char *name);

void set(rd_kafka_conf_t *conf, const char *name, const char *value);

/* Writes `line` to standard output and takes it away. */
void say(cJSON *line);

int member(const cJSON *job);

#endif
