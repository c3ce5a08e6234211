#ifndef PROTOCOL_GLOB_H
#define PROTOCOL_GLOB_H

#include "base/buf.h"

/* Shell patterns as Python's fnmatch has them: * ? [abc] [a-z] [!a-z], no
 * escapes, case-sensitive, the whole text.  Both are UTF-8.  Takes time of at
 * most pattern times text. */
bool glob_match(struct slice pattern, struct slice text);

#endif
