#ifndef CLI_GROUP_H
#define CLI_GROUP_H

#include "cli/client.h"

/* `lovage result` of a saved group: a line for each member, "ID STATUS VALUE",
 * once all have ended or the time is over.  *found = false: no group of that id
 * is saved, and nothing was printed.  forget: afterwards all is deleted.  The
 * exit code. */
int group_show(struct client *k, const char *id, double timeout, bool forget,
               bool *found);

#endif
