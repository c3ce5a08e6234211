#ifndef WORKER_NODENAME_H
#define WORKER_NODENAME_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Celery's node name from the setting worker_hostname: "" is celery@%h; %h is
 * the host, %n its first part, %d the rest, %i the node's index, %% a percent
 * sign.  Of several nodes, those after the first get "-<index>" before the @
 * when the pattern has no %i.  host: as gethostname() gives it. */
enum status nodename_format(const char *pattern, const char *host,
                            uint32_t index, char *out, size_t size,
                            struct error *err);

#endif
