#ifndef API_API_H
#define API_API_H

#include "base/config.h"

/* `lovage api`: serves until SIGTERM or SIGINT, drains, returns the exit code.
 */
int api_main(const struct config *config);

#endif
