/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed message bodies.  What comes out is bounded by the caller's buffer:
 * a few bytes of input can ask for gigabytes. */
#include "protocol/compress.h"

#define ZLIB_CONST /* its input pointers are const */
#include <bzlib.h>
#include <limits.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    PIECE = 16384,   /* bytes unpacked at a time */
    LEVEL_BZIP2 = 9, /* as Python's bz2 */
    LEVEL_ZSTD = 3,
    ZSTD_WINDOW_LOG = 24,  /* 16 MiB: what a peer can make us allocate */
    LZMA_MEMORY = 16 << 20 /* the same; Python's xz takes 9 MiB */
};

enum algorithm { ZLIB, BZIP2, LZMA, ZSTD };

/* kombu's names: "gzip" is a zlib stream too, whatever its MIME type says. */
static const struct name {
    const char *text;
    enum algorithm algorithm;
    const char *mime;
} names[] = {
    {"zlib", ZLIB, "application/x-gzip"},
    {"gzip", ZLIB, "application/x-gzip"},
    {"application/x-gzip", ZLIB, "application/x-gzip"},
    {"bzip2", BZIP2, "application/x-bz2"},
    {"bzip", BZIP2, "application/x-bz2"},
    {"application/x-bz2", BZIP2, "application/x-bz2"},
    {"lzma", LZMA, "application/x-lzma"},
    {"xz", LZMA, "application/x-lzma"},
    {"application/x-lzma", LZMA, "application/x-lzma"},
    {"zstd", ZSTD, "application/zstd"},
    {"zstandard", ZSTD, "application/zstd"},
    {"application/zstd", ZSTD, "application/zstd"},
};

static const struct name *
find(struct slice name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_is(name, names[i].text))
            return &names[i];
    return NULL;
}

static enum status
broken(const char *what, struct error *err)
{
    return error_set(err, ST_PROTO, "%s: damaged or cut short", what);
}

/* Adds a piece, up to the buffer's limit. */
static enum status
add(const char *what, struct buf *out, const void *data, size_t n,
    struct error *err)
{
    buf_add(out, (struct slice){data, n});
    if (out->nomem)
        return error_set(err, ST_NOMEM, "%s: out of memory", what);
    if (out->failed)
        return error_set(err, ST_TOOBIG, "%s: over %zu bytes", what, out->max);
    return ST_OK;
}

static enum status
unpack_zlib(struct slice in, struct buf *out, struct error *err)
{
    z_stream z = {0};
    Bytef piece[PIECE];
    enum status st = ST_OK;
    int rc;

    if (inflateInit(&z) != Z_OK)
        return error_set(err, ST_NOMEM, "zlib: out of memory");
    z.next_in = (const Bytef *)in.ptr;
    z.avail_in = (uInt)in.len;
    do {
        z.next_out = piece;
        z.avail_out = sizeof(piece);
        rc = inflate(&z, Z_NO_FLUSH);
        st = add("zlib", out, piece, sizeof(piece) - z.avail_out, err);
        if (st != ST_OK)
            break;
        if (rc == Z_MEM_ERROR)
            st = error_set(err, ST_NOMEM, "zlib: out of memory");
        else if (rc != Z_OK && rc != Z_STREAM_END)
            st = broken("zlib", err);
    } while (st == ST_OK && rc != Z_STREAM_END);
    inflateEnd(&z);
    return st;
}

static enum status
unpack_bzip2(struct slice in, struct buf *out, struct error *err)
{
    bz_stream z = {0};
    char piece[PIECE];
    enum status st = ST_OK;
    int rc;

    if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
        return error_set(err, ST_NOMEM, "bzip2: out of memory");
    z.next_in = (char *)(uintptr_t)in.ptr;
    z.avail_in = (unsigned)in.len;
    do {
        z.next_out = piece;
        z.avail_out = sizeof(piece);
        rc = BZ2_bzDecompress(&z);
        st = add("bzip2", out, piece, sizeof(piece) - z.avail_out, err);
        if (st != ST_OK)
            break;
        if (rc == BZ_MEM_ERROR)
            st = error_set(err, ST_NOMEM, "bzip2: out of memory");
        else if (rc != BZ_OK && rc != BZ_STREAM_END)
            st = broken("bzip2", err);
        else if (rc == BZ_OK && z.avail_in == 0 && z.avail_out > 0)
            st = broken("bzip2", err); /* wants more than there is */
    } while (st == ST_OK && rc != BZ_STREAM_END);
    BZ2_bzDecompressEnd(&z);
    return st;
}

/* An xz file or, as Python's lzma takes it too, the older .lzma. */
static enum status
unpack_lzma(struct slice in, struct buf *out, struct error *err)
{
    lzma_stream z = LZMA_STREAM_INIT;
    uint8_t piece[PIECE];
    enum status st = ST_OK;
    lzma_ret rc;

    if (lzma_auto_decoder(&z, LZMA_MEMORY, 0) != LZMA_OK)
        return error_set(err, ST_NOMEM, "lzma: out of memory");
    z.next_in = (const uint8_t *)in.ptr;
    z.avail_in = in.len;
    do {
        z.next_out = piece;
        z.avail_out = sizeof(piece);
        rc = lzma_code(&z, LZMA_FINISH);
        st = add("lzma", out, piece, sizeof(piece) - z.avail_out, err);
        if (st != ST_OK)
            break;
        if (rc == LZMA_MEM_ERROR)
            st = error_set(err, ST_NOMEM, "lzma: out of memory");
        else if (rc == LZMA_MEMLIMIT_ERROR)
            st = error_set(err, ST_TOOBIG, "lzma: needs over %d bytes",
                           LZMA_MEMORY);
        else if (rc != LZMA_OK && rc != LZMA_STREAM_END)
            st = broken("lzma", err);
    } while (st == ST_OK && rc != LZMA_STREAM_END);
    lzma_end(&z);
    return st;
}

static enum status
unpack_zstd(struct slice in, struct buf *out, struct error *err)
{
    ZSTD_DCtx *z = ZSTD_createDCtx();
    ZSTD_inBuffer from = {in.ptr, in.len, 0};
    char piece[PIECE];
    enum status st = ST_OK;
    size_t left;

    if (z == NULL)
        return error_set(err, ST_NOMEM, "zstd: out of memory");
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    do {
        ZSTD_outBuffer to = {piece, sizeof(piece), 0};

        left = ZSTD_decompressStream(z, &to, &from);
        if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
            st = error_set(err, ST_NOMEM, "zstd: out of memory");
        else if (ZSTD_isError(left))
            st = error_set(err, ST_PROTO, "zstd: %s", ZSTD_getErrorName(left));
        else
            st = add("zstd", out, piece, to.pos, err);
        if (st == ST_OK && left > 0 && from.pos == from.size &&
            to.pos < to.size)
            st = broken("zstd", err);
    } while (st == ST_OK && left > 0);
    ZSTD_freeDCtx(z);
    return st;
}

/* With a dictionary no larger than what is packed: the preset's takes 94 MiB
 * and milliseconds for the smallest message. */
static bool
pack_lzma(struct slice in, char *data, size_t size, size_t *used)
{
    lzma_options_lzma options;
    lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options},
                             {LZMA_VLI_UNKNOWN, NULL}};

    if (lzma_lzma_preset(&options, LZMA_PRESET_DEFAULT))
        return false;
    if (in.len < options.dict_size)
        options.dict_size =
            in.len > LZMA_DICT_SIZE_MIN ? (uint32_t)in.len : LZMA_DICT_SIZE_MIN;
    return lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC64, NULL,
                                     (const uint8_t *)in.ptr, in.len,
                                     (uint8_t *)data, used, size) == LZMA_OK;
}

/* Packs in into at most *n bytes at data; false: it failed. */
static bool
pack(enum algorithm a, struct slice in, char *data, size_t *n)
{
    uLongf zn = *n;
    unsigned bn = (unsigned)*n;
    size_t used = 0;

    switch (a) {
    case ZLIB:
        if (compress2((Bytef *)data, &zn, (const Bytef *)in.ptr, in.len,
                      Z_DEFAULT_COMPRESSION) != Z_OK)
            return false;
        *n = zn;
        return true;
    case BZIP2:
        if (BZ2_bzBuffToBuffCompress(data, &bn, (char *)(uintptr_t)in.ptr,
                                     (unsigned)in.len, LEVEL_BZIP2, 0,
                                     0) != BZ_OK)
            return false;
        *n = bn;
        return true;
    case LZMA:
        if (!pack_lzma(in, data, *n, &used))
            return false;
        *n = used;
        return true;
    case ZSTD:
        *n = ZSTD_compress(data, *n, in.ptr, in.len, LEVEL_ZSTD);
        return !ZSTD_isError(*n);
    }
    return false;
}

static enum status
unknown(struct slice name, struct error *err)
{
    return error_set(err, ST_INVALID, "unknown compression '%.*s'",
                     (int)(name.len < 64 ? name.len : 64), name.ptr);
}

enum status
compress_unpack(struct slice name, struct slice in, struct buf *out,
                struct error *err)
{
    const struct name *n = find(name);

    if (n == NULL)
        return unknown(name, err);
    if (in.len > INT_MAX)
        return error_set(err, ST_TOOBIG, "%s: %zu bytes", n->text, in.len);
    switch (n->algorithm) {
    case ZLIB:
        return unpack_zlib(in, out, err);
    case BZIP2:
        return unpack_bzip2(in, out, err);
    case LZMA:
        return unpack_lzma(in, out, err);
    case ZSTD:
        return unpack_zstd(in, out, err);
    }
    return ST_INVALID;
}

enum status
compress_pack(struct slice name, struct slice in, struct buf *out,
              struct error *err)
{
    const struct name *n = find(name);
    size_t room = in.len + in.len / 100 + 1024; /* above all bounds */
    enum status st = ST_OK;
    char *data;

    if (n == NULL)
        return unknown(name, err);
    if (in.len > INT_MAX / 2)
        return error_set(err, ST_TOOBIG, "%s: %zu bytes", n->text, in.len);
    data = malloc(room);
    if (data == NULL)
        return error_set(err, ST_NOMEM, "%s: out of memory", n->text);
    if (!pack(n->algorithm, in, data, &room))
        st = error_set(err, ST_NOMEM, "%s: packing failed", n->text);
    else
        st = add(n->text, out, data, room, err);
    free(data);
    return st;
}

const char *
compress_mime(struct slice name)
{
    const struct name *n = find(name);

    return n != NULL ? n->mime : NULL;
}
