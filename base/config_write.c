/* SPDX-License-Identifier: Apache-2.0 */
/* Printing settings: their manual, and their values without secrets. */
#include "base/config.h"

#include <ctype.h>
#include <string.h>

#include "base/url.h"

enum { MAX_SHOWN = 4096 };

static const char *
type_name(enum config_type type)
{
    switch (type) {
    case CONFIG_STR:
        return "text";
    case CONFIG_INT:
        return "whole number";
    case CONFIG_NUM:
        return "number";
    case CONFIG_BOOL:
        return "true or false";
    }
    return "";
}

static void
add_variable(struct buf *out, const struct config_item *item)
{
    buf_addf(out, "`LOVAGE_");
    for (const char *p = item->name; *p != '\0'; p++)
        buf_addf(out, "%c", toupper((unsigned char)*p));
    buf_addf(out, "`");
    if (item->env != NULL)
        buf_addf(out, ", `%s`", item->env);
}

void
config_write_manual(struct buf *out)
{
    buf_addf(out,
             "# Settings\n\n"
             "Later sources win: these defaults, the file (`name = value`, a "
             "line each; `#` begins a comment line), the environment, the "
             "command line. Names that Celery has mean what they mean there. "
             "An empty variable counts as not set. This page is the output of "
             "`lovage config --manual`.\n\n"
             "| setting | default | values | environment | meaning |\n"
             "|---|---|---|---|---|\n");
    for (const struct config_item *i = config_items(); i->name != NULL; i++) {
        buf_addf(out, "| `%s` | ", i->name);
        if (*i->dflt != '\0')
            buf_addf(out, "`%s`", i->dflt);
        buf_addf(out, " | %s", type_name(i->type));
        if (i->type == CONFIG_INT || i->type == CONFIG_NUM)
            buf_addf(out, ", %.13g to %.13g", i->min, i->max);
        buf_addf(out, " | ");
        add_variable(out, i);
        buf_addf(out, " | %s |\n", i->help);
    }
}

static void
write_str(struct buf *out, const struct config_item *item, const char *value)
{
    char text[MAX_SHOWN];

    if (item->secret)
        buf_addf(out, "%s", *value != '\0' ? "***" : "");
    else if (value[strspn(value, " \t")] == '{' &&
             strcasestr(value, "password") != NULL)
        buf_addf(out, "***"); /* a sentinel's, in the transport options */
    else
        buf_addf(out, "%s", url_redacted(value, text, sizeof(text)));
}

void
config_write_values(const struct config *c, struct buf *out)
{
    for (const struct config_item *i = config_items(); i->name != NULL; i++) {
        const void *at = (const char *)c + i->offset;

        buf_addf(out, "%s = ", i->name);
        switch (i->type) {
        case CONFIG_STR:
            write_str(out, i, *(char *const *)at);
            break;
        case CONFIG_INT:
            buf_addf(out, "%jd", (intmax_t) * (const int64_t *)at);
            break;
        case CONFIG_NUM:
            buf_addf(out, "%.15g", *(const double *)at);
            break;
        case CONFIG_BOOL:
            buf_addf(out, "%s", *(const bool *)at ? "true" : "false");
            break;
        }
        buf_addf(out, "\n");
    }
}
