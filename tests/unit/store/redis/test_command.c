/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/command.h"

#include <criterion/criterion.h>
#include <string.h>

static void
expect(struct redis_cmd *cmd, const char *text, size_t len)
{
    struct slice wire;

    cr_assert_eq(redis_cmd_wire(cmd, &wire), ST_OK);
    cr_assert_eq(wire.len, len);
    cr_assert_eq(memcmp(wire.ptr, text, len), 0);
    redis_cmd_fini(cmd);
}

Test(command, arguments_are_bytes_of_any_kind)
{
    static const char wire[] =
        "*4\r\n$3\r\nSET\r\n$4\r\na\r\n\0\r\n$0\r\n\r\n$3\r\n-12\r\n";
    struct redis_cmd cmd;

    redis_cmd_init(&cmd, "SET");
    redis_cmd_add(&cmd, (struct slice){"a\r\n\0", 4});
    redis_cmd_add(&cmd, (struct slice){NULL, 0});
    redis_cmd_int(&cmd, -12);
    expect(&cmd, wire, sizeof wire - 1);
}

Test(command, the_count_may_be_large)
{
    struct redis_cmd cmd;
    struct slice wire;

    redis_cmd_init(&cmd, "X");
    for (int i = 0; i < 100000; i++)
        redis_cmd_int(&cmd, i);
    cr_assert_eq(redis_cmd_wire(&cmd, &wire), ST_OK);
    cr_assert_eq(memcmp(wire.ptr, "*100001\r\n$1\r\nX\r\n", 16), 0);
    redis_cmd_fini(&cmd);
}

Test(command, a_script_is_named_by_its_sha1)
{
    struct redis_cmd cmd;
    struct slice wire;

    redis_cmd_init_script(&cmd, SCRIPT_TAKE, 2);
    cr_assert_eq(redis_cmd_wire(&cmd, &wire), ST_OK);
    cr_assert_not_null(strstr(wire.ptr, redis_script_sha(SCRIPT_TAKE)));
    cr_assert_eq(strlen(redis_script_sha(SCRIPT_TAKE)), 40);
    redis_cmd_fini(&cmd);
}
