#ifndef PROTOCOL_BASE64_H
#define PROTOCOL_BASE64_H

#include "base/buf.h"

void base64_add(struct buf *out, struct slice in); /* with padding, no breaks */

/* Appends the decoded bytes.  Like Python's b64decode: padding required, blanks
 * and line breaks skipped.  ST_PROTO otherwise. */
enum status base64_decode(struct slice in, struct buf *out, struct error *err);

#endif
