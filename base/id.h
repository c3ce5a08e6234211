#ifndef BASE_ID_H
#define BASE_ID_H

#include <stddef.h>
#include <stdint.h>

enum {
    ID_LEN = 36 /* a UUID in text, without the NUL */
};

/* Writes a random UUID (version 4, RFC 9562) in lower case with its NUL.
 * Thread-safe and safe across fork.  Aborts if the kernel has no randomness. */
void id_new(char out[ID_LEN + 1]);
void id_random(void *out, size_t n); /* n random bytes from the same pool */

#endif
