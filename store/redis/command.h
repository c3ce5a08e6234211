#ifndef STORE_REDIS_COMMAND_H
#define STORE_REDIS_COMMAND_H

#include "base/buf.h"
#include "store/redis/scripts.h"

#include <stdint.h>

/* Builds the bytes of one command, argument by argument.  (hiredis' encoder
 * wants arrays of pointers, counts in int, and copies once more.)  A failure
 * sticks and shows in redis_cmd_wire. */
struct redis_cmd {
    struct buf wire;
    size_t argc;
};

void redis_cmd_init(struct redis_cmd *cmd, const char *word);
/* EVALSHA of a script; keys keys follow, then its arguments. */
void redis_cmd_init_script(struct redis_cmd *cmd, enum redis_script s,
                           size_t keys);
void redis_cmd_add(struct redis_cmd *cmd, struct slice arg);
void redis_cmd_str(struct redis_cmd *cmd, const char *arg);
void redis_cmd_int(struct redis_cmd *cmd, int64_t arg);
void redis_cmd_fini(struct redis_cmd *cmd);

/* The finished bytes: borrowed until fini. */
enum status redis_cmd_wire(struct redis_cmd *cmd, struct slice *wire);

#endif
