#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "base/config.h"

/* `lovage worker`: the supervisor.  Starts config->worker_nodes nodes (each
 * `lovage node`, a process), restarts those that end or hang, passes signals
 * on.  Returns the exit code.  argv: the command line that nodes get too. */
int worker_main(const struct config *config, int argc, char **argv);

/* `lovage node` and `lovage executor`: started by the supervisor and by a node,
 * never by hand. */
int node_main(const struct config *config, int argc, char **argv);
int executor_main(const struct config *config);

#endif
