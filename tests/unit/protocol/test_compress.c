#include "protocol/compress.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/data.h"

static const char *const algorithms[] = {"zlib", "gzip", "bzip2", "lzma",
                                         "zstd"};
enum { ALGORITHMS = sizeof(algorithms) / sizeof(algorithms[0]) };

static enum status
pack(const char *name, struct slice in, char **out, size_t *len)
{
    struct buf b;
    enum status st;

    buf_init(&b, 4 << 20);
    st = compress_pack(data_text(name), in, &b, NULL);
    if (st == ST_OK)
        st = buf_take(&b, out, len);
    buf_fini(&b);
    return st;
}

static enum status
unpack(const char *name, struct slice in, size_t max, char **out, size_t *len,
       struct error *err)
{
    struct buf b;
    enum status st;

    buf_init(&b, max);
    st = compress_unpack(data_text(name), in, &b, err);
    if (st == ST_OK)
        st = buf_take(&b, out, len);
    buf_fini(&b);
    return st;
}

Test(compress, comes_back_at_every_size)
{
    static const size_t sizes[] = {0, 1, 100, 16384, 16385, 500000};
    char *data = malloc(500000);

    cr_assert_not_null(data);
    for (size_t i = 0; i < 500000; i++)
        data[i] = (char)(i * i >> 7);
    for (size_t a = 0; a < ALGORITHMS; a++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            char *packed = NULL, *out = NULL;
            size_t n, len;

            cr_assert_eq(pack(algorithms[a], (struct slice){data, sizes[i]},
                              &packed, &n),
                         ST_OK);
            cr_assert_eq(unpack(algorithms[a], (struct slice){packed, n},
                                sizes[i], &out, &len, NULL),
                         ST_OK, "%s %zu", algorithms[a], sizes[i]);
            cr_assert_eq(len, sizes[i]);
            cr_assert_eq(memcmp(out, data, len), 0);
            free(packed);
            free(out);
        }
    free(data);
}

Test(compress, zlib_and_gzip_are_both_a_zlib_stream)
{
    char *packed;
    size_t n;

    for (size_t a = 0; a < 2; a++) {
        cr_assert_eq(pack(algorithms[a], data_text("x"), &packed, &n), ST_OK);
        cr_expect_eq(packed[0], 'x');
        cr_expect_eq((unsigned char)packed[1], 0x9c);
        free(packed);
    }
}

Test(compress, a_bomb_stops_at_the_limit)
{
    char *zeros = calloc(1, 3000000), *packed, *out;
    size_t n, len;

    cr_assert_not_null(zeros);
    for (size_t a = 0; a < ALGORITHMS; a++) {
        struct error err = {0};

        cr_assert_eq(
            pack(algorithms[a], (struct slice){zeros, 3000000}, &packed, &n),
            ST_OK);
        cr_assert_lt(n, 10000);
        cr_expect_eq(unpack(algorithms[a], (struct slice){packed, n}, 100000,
                            &out, &len, &err),
                     ST_TOOBIG);
        cr_expect_not_null(strstr(err.text, "100000"));
        free(packed);
    }
    free(zeros);
}

Test(compress, what_is_cut_short_or_damaged_is_told)
{
    char text[2000];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 31 >> 3);
    for (size_t a = 0; a < ALGORITHMS; a++) {
        char *packed, *out;
        size_t n, len;

        cr_assert_eq(pack(algorithms[a], (struct slice){text, sizeof(text)},
                          &packed, &n),
                     ST_OK);
        for (size_t cut = 0; cut < n; cut += 1 + n / 50)
            cr_expect_eq(unpack(algorithms[a], (struct slice){packed, cut},
                                1 << 20, &out, &len, NULL),
                         ST_PROTO, "%s cut at %zu", algorithms[a], cut);
        packed[0] = '!';
        cr_expect_eq(unpack(algorithms[a], (struct slice){packed, n}, 1 << 20,
                            &out, &len, NULL),
                     ST_PROTO);
        free(packed);
    }
}

Test(compress, names_are_kombus)
{
    static const struct {
        const char *name, *mime;
    } cases[] = {
        {"zlib", "application/x-gzip"},
        {"gzip", "application/x-gzip"},
        {"bzip2", "application/x-bz2"},
        {"bzip", "application/x-bz2"},
        {"lzma", "application/x-lzma"},
        {"xz", "application/x-lzma"},
        {"zstd", "application/zstd"},
        {"zstandard", "application/zstd"},
        {"application/x-gzip", "application/x-gzip"},
    };
    char *out;
    size_t len;
    struct error err = {0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_str_eq(compress_mime(data_text(cases[i].name)),
                         cases[i].mime);
    cr_expect_null(compress_mime(data_text("brotli")));
    cr_expect_null(compress_mime(data_text("")));
    cr_expect_eq(unpack("brotli", data_text(""), 10, &out, &len, &err),
                 ST_INVALID);
    cr_expect_not_null(strstr(err.text, "brotli"));
}
