/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map.h"

Test(id, an_id_is_a_version_4_uuid_in_lower_case)
{
    char id[ID_LEN + 1];

    for (int n = 0; n < 1000; n++) {
        id_new(id);
        cr_assert_eq(strlen(id), ID_LEN);
        for (int i = 0; i < ID_LEN; i++) {
            if (i == 8 || i == 13 || i == 18 || i == 23)
                cr_assert_eq(id[i], '-');
            else
                cr_assert_not_null(strchr("0123456789abcdef", id[i]));
        }
        cr_assert_eq(id[14], '4');
        cr_assert_not_null(strchr("89ab", id[19]));
    }
}

Test(id, ids_do_not_repeat)
{
    static char ids[20000][ID_LEN + 1];
    struct map seen;

    map_init(&seen);
    for (int i = 0; i < 20000; i++) {
        id_new(ids[i]);
        cr_assert_null(map_find(&seen, (struct slice){ids[i], ID_LEN}));
        cr_assert_eq(map_put(&seen, (struct slice){ids[i], ID_LEN}, ids[i]),
                     ST_OK);
    }
    map_fini(&seen);
}

Test(id, a_child_does_not_repeat_what_its_parent_gives_out)
{
    char parent[ID_LEN + 1], child[ID_LEN + 1];
    int fds[2];
    pid_t pid;

    id_new(parent); /* fills the pool that the child inherits */
    cr_assert_eq(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        id_new(child);
        _exit(write(fds[1], child, sizeof(child)) != sizeof(child));
    }
    id_new(parent);
    cr_assert_eq(read(fds[0], child, sizeof(child)), (ssize_t)sizeof(child));
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    cr_assert_str_neq(parent, child);
}

Test(id, random_bytes_of_any_number_are_all_filled)
{
    static const size_t sizes[] = {1, 7, 16, 255, 256, 257, 5000};
    unsigned char bytes[5001];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        unsigned char all = 0;

        memset(bytes, 0, sizeof(bytes));
        for (int again = 0; again < 64; again++) {
            unsigned char was = bytes[n - 1];

            id_random(bytes, n);
            all |= (unsigned char)(bytes[n - 1] ^ was);
        }
        cr_expect_eq(all, 0xff, "the last of %zu bytes is random", n);
        cr_expect_eq(bytes[n], 0);
    }
}
