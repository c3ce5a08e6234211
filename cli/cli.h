/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: one table of commands, each with a table of flags.  Every
 * setting is a flag as well (task_acks_late: --task-acks-late=true), except
 * secrets, which other users could read in the process list. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/config.h"

enum { /* exit codes */
       EXIT_OK = 0,
       EXIT_FAILED = 1,
       EXIT_USAGE = 2,
       CLI_HELPED = -1, /* of cli_parse(): --help was printed, end with 0 */
};

struct cli_flag {
    const char *name;    /* without the dashes */
    char letter;         /* 0: none */
    const char *value;   /* what the help calls the value; NULL: takes none */
    const char *setting; /* the setting that it is; NULL: cli_flag() reads it */
    bool list;           /* repeated: joined by commas */
    const char *help;
};

struct cli;

struct cli_command {
    const char *name;
    const char *args; /* positional ones as the help shows them, "" for none */
    int min_args, max_args;       /* max -1: any number */
    const char *summary;          /* NULL: internal, not listed */
    const char *details;          /* for `lovage help COMMAND`; may be NULL */
    const struct cli_flag *flags; /* ends with a NULL name; may be NULL */
    int (*run)(struct cli *c);    /* the exit code */
    bool unchecked;               /* runs with settings that do not fit, too */
};

struct cli_given; /* a flag that was given, and its value */

struct cli {
    const struct cli_command *command;
    struct config config;
    int argc; /* of main(): the command is argv[1] */
    char **argv;
    int args_count;
    char **args; /* borrowed from argv */
    struct cli_given *given;
    size_t given_count;
};

/* All commands; ends with a NULL name. */
extern const struct cli_command cli_commands[];

const struct cli_command *cli_find(const char *name); /* NULL if unknown */

/* Reads the flags and then the settings: defaults, file, environment, flags.
 * EXIT_OK, CLI_HELPED, or the code to end with: what is wrong is printed. */
int cli_parse(struct cli *c, const struct cli_command *command, int argc,
              char **argv);
void cli_fini(struct cli *c);

/* The value of a flag that is no setting; "" if it takes none; NULL if it was
 * not given. */
const char *cli_flag(const struct cli *c, const char *name);

/* The same as a number, or dflt; EXIT_USAGE if it is none. */
int cli_flag_number(const struct cli *c, const char *name, double dflt,
                    double *out);

void cli_print_help(const struct cli_command *command);
void cli_print_overview(void);

/* "lovage: " and the message, to stderr; returns code. */
int cli_fail(int code, const char *fmt, ...) PRINTF(2, 3);

/* The commands. */
int cmd_api(struct cli *c);
int cmd_worker(struct cli *c);
int cmd_node(struct cli *c);
int cmd_executor(struct cli *c);
int cmd_migrate(struct cli *c);
int cmd_call(struct cli *c);
int cmd_result(struct cli *c);
int cmd_purge(struct cli *c);
int cmd_config(struct cli *c);
int cmd_version(struct cli *c);
int cmd_help(struct cli *c);

extern const struct cli_flag call_flags[], result_flags[], purge_flags[],
    worker_flags[], migrate_flags[], config_flags[];

#endif
