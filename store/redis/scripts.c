/* SPDX-License-Identifier: Apache-2.0 */
/* The table of Lua scripts and their names. */
#include "store/redis/scripts.h"

#include <pthread.h>
#include <string.h>

#include "base/sha1.h"

static const char *const texts[SCRIPT_COUNT] = {
    [SCRIPT_TAKE] = redis_lua_take,       [SCRIPT_SETTLE] = redis_lua_settle,
    [SCRIPT_CLEAN] = redis_lua_clean,     [SCRIPT_LEAVE] = redis_lua_leave,
    [SCRIPT_MOVE] = redis_lua_move,       [SCRIPT_BEAT] = redis_lua_beat,
    [SCRIPT_EXPIRED] = redis_lua_expired, [SCRIPT_TOUCH] = redis_lua_touch,
    [SCRIPT_ROUTE] = redis_lua_route,     [SCRIPT_PUT] = redis_lua_put,
    [SCRIPT_PART] = redis_lua_part,
};

static char shas[SCRIPT_COUNT][SHA1_HEX_LEN + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
hash_texts(void)
{
    for (int s = 0; s < SCRIPT_COUNT; s++)
        sha1_hex((struct slice){texts[s], strlen(texts[s])}, shas[s]);
}

const char *
redis_script_text(enum redis_script s)
{
    return texts[s];
}

const char *
redis_script_sha(enum redis_script s)
{
    pthread_once(&once, hash_texts);
    return shas[s];
}
