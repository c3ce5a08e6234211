/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are read all the time.  json-c copies each key of each object; for
 * a message these copies are a fifth of what its parsing allocates. */
#include "base/json_keys.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

enum { SLOTS = 256, NONE = 0 };

static const char *const words[] = {
    "", /* index 0: NONE */
    "args",
    "argsrepr",
    "body",
    "body_encoding",
    "callbacks",
    "chain",
    "children",
    "choices",
    "chord",
    "completion_tokens",
    "completion_tokens_details",
    "content",
    "content-encoding",
    "content-type",
    "correlation_id",
    "created",
    "date_done",
    "delivery_info",
    "delivery_mode",
    "delivery_tag",
    "errbacks",
    "eta",
    "exchange",
    "expires",
    "finish_reason",
    "group",
    "group_index",
    "headers",
    "id",
    "ignore_result",
    "index",
    "kwargs",
    "kwargsrepr",
    "lang",
    "logprobs",
    "message",
    "messages",
    "model",
    "object",
    "origin",
    "parent_id",
    "priority",
    "prompt",
    "prompt_tokens",
    "properties",
    "redelivered",
    "refusal",
    "replaced_task_nesting",
    "reply_to",
    "result",
    "retries",
    "role",
    "root_id",
    "routing_key",
    "shadow",
    "stamped_headers",
    "stamps",
    "status",
    "task",
    "task_id",
    "timelimit",
    "total_tokens",
    "traceback",
    "usage",
};

enum { WORDS = sizeof(words) / sizeof(words[0]), WORD_MAX = 32 };

static uint8_t slots[SLOTS], lens[WORDS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static unsigned
slot_of(const char *key, size_t len)
{
    const unsigned char *k = (const unsigned char *)key;

    return (k[0] * 7u + k[len / 2] * 31u + k[len - 1] * 3u + (unsigned)len) %
           SLOTS;
}

static void
fill_slots(void)
{
    for (unsigned i = 1; i < WORDS; i++) {
        unsigned at;

        lens[i] = (uint8_t)strlen(words[i]);
        at = slot_of(words[i], lens[i]);
        while (slots[at] != NONE)
            at = (at + 1) % SLOTS;
        slots[at] = (uint8_t)i;
    }
}

const char *
json_known_key(struct slice key)
{
    unsigned at, i;

    if (key.len == 0 || key.len > WORD_MAX)
        return NULL;
    pthread_once(&once, fill_slots);
    for (at = slot_of(key.ptr, key.len); (i = slots[at]) != NONE;
         at = (at + 1) % SLOTS)
        if (lens[i] == key.len && memcmp(words[i], key.ptr, key.len) == 0)
            return words[i];
    return NULL;
}
