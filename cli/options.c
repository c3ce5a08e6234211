/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags and settings of a command line, in the order of their precedence. */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/topology.h"

/* What getopt_long() returns for a flag and for a setting. */
enum { FLAG_BASE = 1000, SETTING_BASE = 2000, HELP_OPTION = 3000, CONFIG_FILE };

struct cli_given {
    const struct cli_flag *flag;       /* one of the two */
    const struct config_item *setting; /* is NULL */
    const char *value;
};

struct parser {
    const struct cli_command *command;
    struct option *options; /* owned, and their names from SETTING_BASE on */
    size_t count, first_setting;
    char letters[128];
    const char *config_file; /* borrowed from argv */
    bool help;
};

int
cli_fail(int code, const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("lovage: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return code;
}

static size_t
count_flags(const struct cli_flag *flags)
{
    size_t n = 0;

    while (flags != NULL && flags[n].name != NULL)
        n++;
    return n;
}

static size_t
count_settings(void)
{
    size_t n = 0;

    while (config_items()[n].name != NULL)
        n++;
    return n;
}

/* task_acks_late as task-acks-late; malloc'd. */
static char *
dashed(const char *name)
{
    char *s = strdup(name);

    for (char *p = s; p != NULL && *p != '\0'; p++)
        if (*p == '_')
            *p = '-';
    return s;
}

static bool
has_flag(const struct cli_command *command, const char *name)
{
    for (const struct cli_flag *f = command->flags; f && f->name; f++)
        if (strcmp(f->name, name) == 0)
            return true;
    return false;
}

static void
add_option(struct parser *p, const char *name, int has_arg, int val)
{
    p->options[p->count++] =
        (struct option){.name = name, .has_arg = has_arg, .val = val};
}

static void
add_letter(struct parser *p, char letter, bool value)
{
    size_t n = strlen(p->letters);

    if (letter == 0 || n + 3 > sizeof(p->letters))
        return;
    p->letters[n++] = letter;
    if (value)
        p->letters[n++] = ':';
    p->letters[n] = '\0';
}

static enum status
add_settings(struct parser *p)
{
    const struct config_item *items = config_items();

    p->first_setting = p->count;
    for (size_t i = 0; items[i].name != NULL; i++) {
        char *name;

        if (items[i].secret)
            continue;
        name = dashed(items[i].name);
        if (name == NULL)
            return ST_NOMEM;
        if (has_flag(p->command, name)) {
            free(name);
            continue;
        }
        add_option(p, name,
                   items[i].type == CONFIG_BOOL ? optional_argument
                                                : required_argument,
                   SETTING_BASE + (int)i);
    }
    return ST_OK;
}

static enum status
parser_init(struct parser *p, const struct cli_command *command)
{
    size_t flags = count_flags(command->flags);

    *p = (struct parser){.command = command, .letters = ":h"};
    p->options = calloc(flags + count_settings() + 3, sizeof(*p->options));
    if (p->options == NULL)
        return ST_NOMEM;
    add_option(p, "help", no_argument, HELP_OPTION);
    add_option(p, "config", required_argument, CONFIG_FILE);
    for (size_t i = 0; i < flags; i++) {
        const struct cli_flag *f = &command->flags[i];

        add_letter(p, f->letter, f->value != NULL);
        add_option(p, f->name,
                   f->value != NULL ? required_argument : no_argument,
                   FLAG_BASE + (int)i);
    }
    return add_settings(p);
}

static void
parser_fini(struct parser *p)
{
    for (size_t i = p->first_setting; p->first_setting && i < p->count; i++)
        free((char *)(uintptr_t)p->options[i].name);
    free(p->options);
}

static int
remember(struct cli *c, struct cli_given g)
{
    struct cli_given *more =
        realloc(c->given, (c->given_count + 1) * sizeof(*more));

    if (more == NULL)
        return cli_fail(EXIT_FAILED, "out of memory");
    c->given = more;
    c->given[c->given_count++] = g;
    return EXIT_OK;
}

/* The flag of that letter, as getopt_long() returns it; -1 if there is none. */
static int
letter_option(const struct cli_command *command, int letter)
{
    for (int i = 0; command->flags && command->flags[i].name; i++)
        if (command->flags[i].letter == letter)
            return FLAG_BASE + i;
    return -1;
}

static bool
is_secret(const char *option)
{
    const struct config_item *items = config_items();
    size_t len = strcspn(option, "=");

    for (size_t i = 0; items[i].name != NULL; i++) {
        char *name = dashed(items[i].name);
        bool same = name != NULL && strlen(name) == len &&
                    strncmp(name, option, len) == 0;

        free(name);
        if (same)
            return items[i].secret;
    }
    return false;
}

static int
complain(const struct parser *p, int code, char **argv)
{
    const char *word = argv[optind > 0 ? optind - 1 : 0];

    if (code == ':')
        return cli_fail(EXIT_USAGE, "%s: %s needs a value", p->command->name,
                        word);
    if (strncmp(word, "--", 2) == 0 && is_secret(word + 2))
        return cli_fail(EXIT_USAGE,
                        "%s: a secret comes from the environment or a file, "
                        "never from the command line",
                        p->command->name);
    if (optopt != 0 && optopt < FLAG_BASE)
        return cli_fail(EXIT_USAGE,
                        "%s: unknown option -%c (see: lovage help %s)",
                        p->command->name, optopt, p->command->name);
    return cli_fail(EXIT_USAGE, "%s: %s option %s (see: lovage help %s)",
                    p->command->name,
                    optopt != 0 ? "unexpected value in" : "unknown", word,
                    p->command->name);
}

static int
read_options(struct cli *c, struct parser *p)
{
    int argc = c->argc - 1, code, rc = EXIT_OK;
    char **argv = c->argv + 1; /* getopt_long() skips the command's name */

    opterr = 0;
    optind = 0; /* glibc: start anew */
    while (rc == EXIT_OK && (code = getopt_long(argc, argv, p->letters,
                                                p->options, NULL)) != -1) {
        struct cli_given g = {.value = optarg};

        if (code == '?' || code == ':')
            return complain(p, code, argv);
        if (code < FLAG_BASE && code != 'h')
            code = letter_option(p->command, code);
        if (code == 'h' || code == HELP_OPTION) {
            p->help = true;
            return EXIT_OK;
        }
        if (code == CONFIG_FILE) {
            p->config_file = optarg;
            continue;
        }
        if (code >= SETTING_BASE)
            g.setting = &config_items()[code - SETTING_BASE];
        else
            g.flag = &p->command->flags[code - FLAG_BASE];
        rc = remember(c, g);
    }
    c->args = argv + optind;
    c->args_count = argc - optind;
    return rc;
}

static int
set(struct cli *c, const char *name, const char *value)
{
    struct error err;

    if (config_set(&c->config, name, value, &err) != ST_OK)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    return EXIT_OK;
}

/* -I a.so -I b.so: the setting becomes "a.so,b.so". */
static int
set_list(struct cli *c, const struct cli_flag *flag)
{
    char *joined = NULL;
    struct buf b;
    int rc;

    buf_init(&b, 64 * 1024);
    for (size_t i = 0; i < c->given_count; i++)
        if (c->given[i].flag == flag)
            buf_addf(&b, "%s%s", b.len > 0 ? "," : "", c->given[i].value);
    if (buf_take(&b, &joined, NULL) != ST_OK)
        rc = cli_fail(EXIT_USAGE, "--%s: too long", flag->name);
    else
        rc = set(c, flag->setting, joined);
    buf_fini(&b);
    free(joined);
    return rc;
}

static int
apply_flags(struct cli *c)
{
    int rc = EXIT_OK;

    for (size_t i = 0; i < c->given_count && rc == EXIT_OK; i++) {
        const struct cli_given *g = &c->given[i];

        if (g->setting != NULL)
            rc = set(c, g->setting->name, g->value ? g->value : "true");
        else if (g->flag->setting != NULL && g->flag->list)
            rc = set_list(c, g->flag);
        else if (g->flag->setting != NULL)
            rc = set(c, g->flag->setting, g->value ? g->value : "true");
    }
    return rc;
}

static int
load_settings(struct cli *c, const char *file)
{
    struct error err;
    int rc;

    if (config_init(&c->config, &err) != ST_OK)
        return cli_fail(EXIT_FAILED, "%s", err.text);
    if (file == NULL)
        file = getenv("LOVAGE_CONFIG");
    if (file != NULL && *file != '\0' &&
        config_load_file(&c->config, file, &err) != ST_OK)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    if (config_load_env(&c->config, &err) != ST_OK)
        return cli_fail(EXIT_USAGE, "%s", err.text);
    rc = apply_flags(c);
    if (rc == EXIT_OK && !c->command->unchecked &&
        (config_check(&c->config, &err) != ST_OK ||
         topology_check(&c->config, &err) != ST_OK))
        rc = cli_fail(EXIT_USAGE, "%s", err.text);
    return rc;
}

static int
check_args(const struct cli *c)
{
    const struct cli_command *command = c->command;

    if (c->args_count < command->min_args)
        return cli_fail(EXIT_USAGE, "usage: lovage %s %s", command->name,
                        command->args);
    if (command->max_args >= 0 && c->args_count > command->max_args)
        return cli_fail(EXIT_USAGE, "%s: unexpected argument: %s",
                        command->name, c->args[command->max_args]);
    return EXIT_OK;
}

const char *
cli_flag(const struct cli *c, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < c->given_count; i++)
        if (c->given[i].flag && strcmp(c->given[i].flag->name, name) == 0)
            value = c->given[i].value ? c->given[i].value : "";
    return value;
}

int
cli_flag_number(const struct cli *c, const char *name, double dflt, double *out)
{
    const char *text = cli_flag(c, name);
    char *end;

    *out = dflt;
    if (text == NULL)
        return EXIT_OK;
    errno = 0;
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(*out >= 0))
        return cli_fail(EXIT_USAGE, "--%s: not a number: %s", name, text);
    return EXIT_OK;
}

const struct cli_command *
cli_find(const char *name)
{
    for (const struct cli_command *k = cli_commands; k->name != NULL; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

int
cli_parse(struct cli *c, const struct cli_command *command, int argc,
          char **argv)
{
    struct parser p;
    int rc;

    *c = (struct cli){.command = command, .argc = argc, .argv = argv};
    if (parser_init(&p, command) != ST_OK)
        rc = cli_fail(EXIT_FAILED, "out of memory");
    else
        rc = read_options(c, &p);
    if (rc == EXIT_OK && p.help) {
        cli_print_help(command);
        rc = CLI_HELPED;
    }
    if (rc == EXIT_OK)
        rc = check_args(c);
    if (rc == EXIT_OK)
        rc = load_settings(c, p.config_file);
    parser_fini(&p);
    return rc;
}

void
cli_fini(struct cli *c)
{
    free(c->given);
    config_fini(&c->config);
}
