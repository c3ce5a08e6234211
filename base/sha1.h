#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include "base/buf.h"

/* The SHA-1 of bytes in hex, as Redis names its scripts.  A name, not a proof:
 * what must be hard to forge is hashed with SHA-256. */
enum { SHA1_HEX_LEN = 40 };

void sha1_hex(struct slice bytes, char out[SHA1_HEX_LEN + 1]);

#endif
