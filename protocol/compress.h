#ifndef PROTOCOL_COMPRESS_H
#define PROTOCOL_COMPRESS_H

#include "base/buf.h"

/* kombu's compression names and MIME types (celery-wire.md 2.4): zlib and gzip
 * (both a zlib stream), bzip2, lzma (an xz file), zstd.  name: a short name or
 * a MIME type. */
enum status compress_unpack(struct slice name, struct slice in, struct buf *out,
                            struct error *err); /* bounded by out->max */
enum status compress_pack(struct slice name, struct slice in, struct buf *out,
                          struct error *err);
const char *compress_mime(struct slice name); /* NULL: unknown */

#endif
