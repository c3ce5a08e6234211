/* A signature as JSON: whatever it is applied to gives messages that we would
 * accept ourselves, and chords whose sizes are set in time. */
#include "protocol/signature.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(struct signature_messages *out)
{
    for (size_t i = 0; i < out->count; i++) {
        struct task_message t;
        enum task_fault fault;
        struct error err;

        /* Headers that the signature itself brings win, and may be anything:
         * only the shape of the body is ours. */
        if (task_decode(&out->items[i].msg, "json", &t, &fault, NULL, &err) !=
            ST_OK)
            assert(fault != TASK_FAULT_UNKNOWN);
        task_fini(&t);
    }
    for (size_t i = 0; i < out->chord_count; i++) {
        assert(out->chords[i].last < out->count);
        assert(i == 0 || out->chords[i - 1].last <= out->chords[i].last);
        assert(out->chords[i].size > 0);
    }
    assert(strlen(out->result_id) <= TASK_ID_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object *sig = NULL, *partial = NULL;
    struct signature_context ctx = {.now_us = 1893553445000000,
                                    .reply_to = {"oid", 3}};
    struct signature_messages out;
    struct error err;

    if (json_parse((struct slice){(const char *)data, size}, JSON_DEPTH, &sig,
                   NULL) != ST_OK)
        return 0;
    if (json_parse((struct slice){"[1]", 3}, 9, &partial, NULL) != ST_OK) {
        json_object_put(sig);
        return 0;
    }
    ctx.partial = partial;
    ctx.root_id = (struct slice){"root", 4};
    if (signature_apply(sig, &ctx, &out, &err) == ST_OK) {
        check(&out);
        signature_messages_fini(&out);
    }
    json_object_put(partial);
    json_object_put(sig);
    return 0;
}
