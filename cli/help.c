/* SPDX-License-Identifier: Apache-2.0
 *
 * What `lovage help` prints, made from the tables of commands and flags. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { COLUMN = 30, WIDTH = 79 };

/* Prints text at COLUMN, in lines of at most WIDTH. */
static void
print_wrapped(const char *text)
{
    size_t room = WIDTH - COLUMN;

    for (;;) {
        size_t n = strlen(text);

        if (n <= room) {
            printf("%s\n", text);
            return;
        }
        for (n = room; n > 0 && text[n] != ' '; n--)
            ;
        if (n == 0) /* a word wider than the column */
            n = strcspn(text, " ");
        printf("%.*s\n", (int)n, text);
        text += n;
        if (*text == '\0')
            return;
        text++;
        printf("%*s", COLUMN, "");
    }
}

static void
print_flag(const struct cli_flag *f)
{
    char left[64];
    int n;

    if (f->letter != 0)
        n = snprintf(left, sizeof(left), "  -%c, --%s%s%s", f->letter, f->name,
                     f->value ? " " : "", f->value ? f->value : "");
    else
        n = snprintf(left, sizeof(left), "      --%s%s%s", f->name,
                     f->value ? " " : "", f->value ? f->value : "");
    printf("%s", left);
    if (n >= COLUMN) {
        printf("\n");
        n = 0;
    }
    printf("%*s", COLUMN - n, "");
    print_wrapped(f->help);
}

void
cli_print_help(const struct cli_command *command)
{
    static const struct cli_flag common[] = {
        {.name = "config",
         .value = "FILE",
         .help = "read settings from this file (also: LOVAGE_CONFIG)"},
        {.name = "help", .letter = 'h', .help = "print this"},
    };

    printf("usage: lovage %s [OPTION...]%s%s\n", command->name,
           *command->args ? " " : "", command->args);
    if (command->summary != NULL)
        printf("       %s\n", command->summary);
    if (command->details != NULL)
        printf("\n%s\n", command->details);
    printf("\n");
    for (const struct cli_flag *f = command->flags; f && f->name; f++)
        print_flag(f);
    print_flag(&common[0]);
    print_flag(&common[1]);
    printf("\nEvery setting is an option, too: --task-acks-late=true.  "
           "Settings are read from\nthe file, then the environment "
           "(LOVAGE_TASK_ACKS_LATE=true), then the options.\n"
           "All of them: lovage config --manual\n");
}

void
cli_print_overview(void)
{
    printf("usage: lovage COMMAND [OPTION...]\n\n");
    for (const struct cli_command *k = cli_commands; k->name != NULL; k++)
        if (k->summary != NULL)
            printf("  %-10s%s\n", k->name, k->summary);
    printf("\nlovage help COMMAND explains one.\n");
}
