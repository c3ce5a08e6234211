/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes commands in Redis' protocol. */
#include "store/redis/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    HEAD = 16,                    /* room for "*count\r\n" in front */
    WIRE_MAX = 1024 * 1024 * 1024 /* Redis takes values up to 512 MiB */
};

void
redis_cmd_init(struct redis_cmd *cmd, const char *word)
{
    static const char room[HEAD];

    cmd->argc = 0;
    buf_init(&cmd->wire, WIRE_MAX);
    buf_add(&cmd->wire, (struct slice){room, HEAD});
    redis_cmd_str(cmd, word);
}

void
redis_cmd_init_script(struct redis_cmd *cmd, enum redis_script s, size_t keys)
{
    redis_cmd_init(cmd, "EVALSHA");
    redis_cmd_str(cmd, redis_script_sha(s));
    redis_cmd_int(cmd, (int64_t)keys);
}

void
redis_cmd_add(struct redis_cmd *cmd, struct slice arg)
{
    char head[32];
    int n = snprintf(head, sizeof head, "$%zu\r\n", arg.len);

    buf_add(&cmd->wire, (struct slice){head, (size_t)n});
    buf_add(&cmd->wire, arg);
    buf_add(&cmd->wire, (struct slice){"\r\n", 2});
    cmd->argc++;
}

void
redis_cmd_str(struct redis_cmd *cmd, const char *arg)
{
    redis_cmd_add(cmd, (struct slice){arg, strlen(arg)});
}

void
redis_cmd_int(struct redis_cmd *cmd, int64_t arg)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, arg);

    redis_cmd_add(cmd, (struct slice){text, (size_t)n});
}

void
redis_cmd_fini(struct redis_cmd *cmd)
{
    buf_fini(&cmd->wire);
    cmd->argc = 0;
}

enum status
redis_cmd_wire(struct redis_cmd *cmd, struct slice *wire)
{
    char head[HEAD + 1];
    int n;

    if (cmd->wire.failed)
        return ST_NOMEM;
    n = snprintf(head, sizeof head, "*%zu\r\n", cmd->argc);
    if (n < 0 || n > HEAD)
        return ST_TOOBIG;
    memcpy(cmd->wire.data + HEAD - n, head, (size_t)n);
    *wire = (struct slice){cmd->wire.data + HEAD - n,
                           cmd->wire.len - (size_t)(HEAD - n)};
    return ST_OK;
}
