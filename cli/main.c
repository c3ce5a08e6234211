/* SPDX-License-Identifier: Apache-2.0
 *
 * The program: finds the command, reads its flags and the settings, runs it. */
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

const struct cli_command cli_commands[] = {
    {.name = "api",
     .args = "",
     .summary = "serve the REST API",
     .details = "Needs a broker and a database (see: lovage migrate).",
     .run = cmd_api},
    {.name = "worker",
     .args = "",
     .summary = "run tasks",
     .details = "The flags are those of `celery worker`.  TERM or INT: stop "
                "taking tasks, finish\nthose that run, end; again, or QUIT: "
                "end at once, hand back what is not done.",
     .flags = worker_flags,
     .run = cmd_worker},
    {.name = "migrate",
     .args = "",
     .summary = "bring the database to this program's schema",
     .flags = migrate_flags,
     .run = cmd_migrate,
     .unchecked = true},
    {.name = "call",
     .args = "TASK",
     .min_args = 1,
     .max_args = 1,
     .summary = "send a task and print its id",
     .details =
         "lovage call proj.tasks.add --args='[1, 2]' --wait\n"
         "Ends with 1 if the task failed or was not done in time (--wait).",
     .flags = call_flags,
     .run = cmd_call},
    {.name = "result",
     .args = "ID",
     .min_args = 1,
     .max_args = 1,
     .summary = "wait for a task and print its result",
     .details = "Ends with 1 if the task failed or was not done in time.",
     .flags = result_flags,
     .run = cmd_result},
    {.name = "purge",
     .args = "",
     .summary = "remove all waiting messages from queues",
     .flags = purge_flags,
     .run = cmd_purge},
    {.name = "config",
     .args = "",
     .summary = "print the settings as they are in force here",
     .flags = config_flags,
     .run = cmd_config,
     .unchecked = true},
    {.name = "version",
     .args = "",
     .summary = "print the version",
     .run = cmd_version,
     .unchecked = true},
    {.name = "help",
     .args = "[COMMAND]",
     .max_args = 1,
     .summary = "explain a command and its flags",
     .run = cmd_help,
     .unchecked = true},
    /* What `lovage worker` starts, with its own flags. */
    {.name = "node",
     .args = "",
     .max_args = -1,
     .flags = worker_flags,
     .run = cmd_node},
    {.name = "executor",
     .args = "",
     .max_args = -1,
     .flags = worker_flags,
     .run = cmd_executor},
    {.name = NULL},
};

int
cmd_version(struct cli *c)
{
    (void)c;
    printf("lovage %s\n", LOVAGE_VERSION);
    return EXIT_OK;
}

int
cmd_help(struct cli *c)
{
    const struct cli_command *command;

    if (c->args_count == 0) {
        cli_print_overview();
        return EXIT_OK;
    }
    command = cli_find(c->args[0]);
    if (command == NULL || command->summary == NULL)
        return cli_fail(EXIT_USAGE, "help: unknown command: %s", c->args[0]);
    cli_print_help(command);
    return EXIT_OK;
}

/* Logs carry the command's name until a node has one of its own. */
static void
start_log(const struct cli *c)
{
    enum log_level level = LOG_INFO;

    if (log_level_parse(c->config.log_level, &level) != ST_OK)
        level = LOG_INFO;
    log_init(level, strcmp(c->config.log_format, "json") == 0,
             c->command->name);
}

static int
run(const struct cli_command *command, int argc, char **argv)
{
    struct cli c;
    int rc = cli_parse(&c, command, argc, argv);

    if (rc == EXIT_OK) {
        start_log(&c);
        rc = command->run(&c);
    }
    cli_fini(&c);
    return rc == CLI_HELPED ? EXIT_OK : rc;
}

int
main(int argc, char **argv)
{
    const struct cli_command *command;
    const char *name = argc > 1 ? argv[1] : "";
    int rc;

    /* A peer that has gone is an error of write(2), not the end of us. */
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    command = cli_find(name);
    if (*name == '\0') {
        cli_print_overview();
        rc = EXIT_USAGE;
    } else if (command == NULL) {
        rc = cli_fail(EXIT_USAGE, "unknown command: %s (see: lovage help)",
                      name);
    } else {
        rc = run(command, argc, argv);
    }
    if (fflush(stdout) != 0 && rc == EXIT_OK)
        rc = cli_fail(EXIT_FAILED, "cannot write the output");
    return rc;
}
