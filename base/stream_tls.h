#ifndef BASE_STREAM_TLS_H
#define BASE_STREAM_TLS_H

#include "base/stream.h"

/* TLS for base/stream.c only: bytes in, bytes out, no socket. */
struct tls;

/* host is what the certificate must be for.  ST_INVALID: a file that cannot be
 * used. */
enum status stream_tls_new(struct tls **out, const struct stream_tls *opts,
                           const char *host, struct error *err);
void stream_tls_free(struct tls *t);

/* Bytes from the peer. */
enum status stream_tls_put(struct tls *t, struct slice bytes);

/* A step of the handshake, with what has been put so far: ST_OK when it is
 * done, ST_AGAIN when it needs more, ST_DENIED when the peer's certificate
 * is refused, else ST_LOST.  There may be something to send in any case. */
enum status stream_tls_handshake(struct tls *t, struct error *err);

/* Decrypts up to size bytes.  ST_AGAIN when it needs more, ST_LOST at the end
 * and after an error. */
enum status stream_tls_read(struct tls *t, char *p, size_t size, size_t *n,
                            struct error *err);

/* Encrypts all of it. */
enum status stream_tls_write(struct tls *t, struct slice bytes);
void stream_tls_end(struct tls *t); /* close_notify */

/* Appends what is to be sent to the peer. */
void stream_tls_take(struct tls *t, struct buf *wire);

#endif
