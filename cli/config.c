/* SPDX-License-Identifier: Apache-2.0
 *
 * `lovage config`: the settings in force, or the manual of all of them. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/topology.h"

const struct cli_flag config_flags[] = {
    {"manual", 0, NULL, NULL, false,
     "print docs/configuration.md: all settings and what they mean"},
    {.name = NULL},
};

int
cmd_config(struct cli *c)
{
    char *text = NULL;
    struct error err;
    struct buf b;
    int rc = EXIT_OK;

    buf_init(&b, 1 << 20);
    if (cli_flag(c, "manual") != NULL)
        config_write_manual(&b);
    else
        config_write_values(&c->config, &b);
    if (buf_take(&b, &text, NULL) == ST_OK)
        fputs(text, stdout);
    else
        rc = cli_fail(EXIT_FAILED, "out of memory");
    free(text);
    buf_fini(&b);
    if (rc == EXIT_OK && cli_flag(c, "manual") == NULL &&
        (config_check(&c->config, &err) != ST_OK ||
         topology_check(&c->config, &err) != ST_OK))
        rc = cli_fail(EXIT_FAILED, "%s", err.text);
    return rc;
}
