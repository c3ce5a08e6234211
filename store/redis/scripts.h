#ifndef STORE_REDIS_SCRIPTS_H
#define STORE_REDIS_SCRIPTS_H

/* The Lua scripts that run in Redis: each is one atomic step.  Keys and
 * arguments are described beside their text in scripts_broker.c and
 * scripts_result.c. */
enum redis_script {
    SCRIPT_TAKE,
    SCRIPT_SETTLE,
    SCRIPT_CLEAN,
    SCRIPT_MOVE,
    SCRIPT_BEAT,
    SCRIPT_LEAVE,
    SCRIPT_EXPIRED,
    SCRIPT_TOUCH,
    SCRIPT_ROUTE,
    SCRIPT_PUT,
    SCRIPT_PART,
    SCRIPT_COUNT
};

const char *redis_script_text(enum redis_script s);
/* The name that EVALSHA knows it by: SHA-1 in hex. */
const char *redis_script_sha(enum redis_script s);

extern const char redis_lua_take[], redis_lua_settle[], redis_lua_clean[],
    redis_lua_move[], redis_lua_beat[], redis_lua_leave[], redis_lua_expired[],
    redis_lua_touch[], redis_lua_route[], redis_lua_put[], redis_lua_part[];

#endif
