/* SPDX-License-Identifier: Apache-2.0 */
/* Header tables: what we write is what py-amqp and RabbitMQ read alike. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/amqp/table.h"

static amqp_pool_t pool;
static struct error err;

static void
begin(void)
{
    init_amqp_pool(&pool, 4096);
}

static void
end(void)
{
    empty_amqp_pool(&pool);
}

TestSuite(table, .init = begin, .fini = end);

static struct json_object *
parsed(const char *text)
{
    struct json_object *v = NULL;

    cr_assert_eq(json_parse((struct slice){text, strlen(text)}, 200, &v, &err),
                 ST_OK, "%s", err.text);
    return v;
}

/* The bytes of obj's table, kinds and all; from the pool. */
static amqp_bytes_t
wire(struct json_object *obj)
{
    amqp_table_t t;
    amqp_bytes_t out = {0, amqp_pool_alloc(&pool, 65536)};
    size_t n = 0;

    cr_assert_eq(amq_table_encode(obj, &pool, &t, &err), ST_OK, "%s", err.text);
    out.len = 65536;
    cr_assert_eq(amqp_encode_table(out, &t, &n), AMQP_STATUS_OK);
    out.len = n;
    return out;
}

static char *
read_back(amqp_bytes_t bytes)
{
    struct json_object *v = NULL;
    amqp_table_t t;
    size_t at = 0;
    char *text;

    cr_assert_eq(amqp_decode_table(bytes, &pool, &t, &at), AMQP_STATUS_OK);
    cr_assert_eq(amq_table_decode(&t, &v, &err), ST_OK, "%s", err.text);
    text = json_text(v);
    json_object_put(v);
    return text;
}

Test(table, each_value_has_the_kind_that_all_read_alike)
{
    static const struct {
        const char *json;
        char kind;
    } rows[] = {
        {"\"text\"", 'S'},
        {"\"\"", 'S'},
        {"true", 't'},
        {"false", 't'},
        {"0", 'I'},
        {"-5", 'I'},
        {"2147483647", 'I'},
        {"-2147483647", 'I'},
        {"2147483648", 'l'},
        {"9223372036854775807", 'l'},
        {"-2147483648", 'd'},
        {"-1099511627776", 'd'},
        {"1.5", 'd'},
        {"1e300", 'd'},
        {"null", 'V'},
        {"[1, null]", 'A'},
        {"{\"a\": 1}", 'F'},
        {"[]", 'A'},
        {"{}", 'F'},
        {"18446744073709551615", 'd'},
        {"36893488147419103232", 'd'},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128];
        struct json_object *o;
        amqp_bytes_t b;

        snprintf(text, sizeof text, "{\"k\": %s}", rows[i].json);
        o = parsed(text);
        b = wire(o);
        /* length of the table, length of the name, the name, the kind */
        cr_expect_eq(((char *)b.bytes)[6], rows[i].kind, "%s is written as %c",
                     rows[i].json, ((char *)b.bytes)[6]);
        json_object_put(o);
    }
}

Test(table, celerys_headers_come_back_as_they_were)
{
    static const char text[] =
        "{\"lang\": \"c\", \"task\": \"t\", \"id\": \"1\", \"eta\": null, "
        "\"retries\": 0, \"timelimit\": [null, 1.5], \"stamps\": {}, "
        "\"stamped_headers\": null, \"ignore_result\": false, "
        "\"deep\": {\"a\": [{\"b\": [true, \"\\u00e9\", 4294967296]}]}}";
    struct json_object *o = parsed(text);
    char *got = read_back(wire(o));

    cr_assert_str_eq(got, text);
    free(got);
    json_object_put(o);
}

Test(table, all_kinds_are_read)
{
    static const unsigned char bytes[] = {
        0,    0,   0,   131,  1,    'a',  't',  1, /* boolean */
        1,    'b', 'b', 0xfb,                      /* signed 8 */
        1,    'c', 'B', 0xfa,                      /* unsigned 8 */
        1,    'd', 's', 0xff, 0xfe,                /* signed 16 */
        1,    'e', 'u', 0xff, 0xfe,                /* unsigned 16 */
        1,    'f', 'I', 0xff, 0xff, 0xff, 0xfd,    /* signed 32 */
        1,    'g', 'i', 0xff, 0xff, 0xff, 0xfd,    /* unsigned 32 */
        1,    'h', 'l', 0xff, 0xff, 0xff, 0,    0,    0,
        0,    0, /* signed 64 */
        1,    'i', 'L', 0xff, 0xff, 0xff, 0,    0,    0,
        0,    0,                             /* signed, too */
        1,    'j', 'f', 0x3f, 0xc0, 0,    0, /* float */
        1,    'k', 'd', 0x3f, 0xf8, 0,    0,    0,    0,
        0,    0,                                           /* double */
        1,    'l', 'D', 2,    0,    0,    1,    0x3b,      /* decimal 3.15 */
        1,    'm', 'S', 0,    0,    0,    1,    'x',       /* string */
        1,    'n', 'x', 0,    0,    0,    2,    'y',  'z', /* bytes */
        1,    'o', 'T', 0,    0,    0,    0,    0x5f, 0x5e,
        0x10, 0,                                         /* timestamp */
        1,    'p', 'V',                                  /* void */
        1,    'q', 'A', 0,    0,    0,    2,    't',  0, /* array */
        1,    'r', 'F', 0,    0,    0,    0,             /* table */
    };
    amqp_bytes_t b = {sizeof bytes, (void *)(uintptr_t)bytes};
    char *got;

    cr_assert_eq(sizeof bytes, 131 + 4);
    got = read_back(b);
    cr_assert_str_eq(
        got, "{\"a\": true, \"b\": -5, \"c\": 250, \"d\": -2, \"e\": 65534, "
             "\"f\": -3, \"g\": 4294967293, \"h\": -1099511627776, "
             "\"i\": -1099511627776, \"j\": 1.5, \"k\": 1.5, \"l\": 3.15, "
             "\"m\": \"x\", \"n\": \"yz\", \"o\": 1600000000, \"p\": null, "
             "\"q\": [false], \"r\": {}}");
    free(got);
}

Test(table, what_dead_lettering_added_is_not_sent_again)
{
    struct json_object *o = parsed(
        "{\"x-death\": [{\"count\": 1}], \"x-first-death-queue\": \"q\", "
        "\"x-last-death-reason\": \"expired\", \"id\": \"1\", "
        "\"inner\": {\"x-death\": 1}}");
    char *got = read_back(wire(o));

    cr_assert_str_eq(got, "{\"id\": \"1\", \"inner\": {\"x-death\": 1}}");
    free(got);
    json_object_put(o);
}

Test(table, no_headers_are_an_empty_table)
{
    amqp_table_t t = {7, NULL};

    cr_assert_eq(amq_table_encode(NULL, &pool, &t, &err), ST_OK);
    cr_assert_eq(t.num_entries, 0);
}

Test(table, a_name_that_is_too_long_is_refused)
{
    struct json_object *o = json_object_new_object();
    char name[257];
    amqp_table_t t;

    memset(name, 'n', 256);
    name[256] = '\0';
    cr_assert_eq(json_set_null(o, name), ST_OK);
    cr_assert_eq(amq_table_encode(o, &pool, &t, &err), ST_TOOBIG);
    cr_assert_not_null(strstr(err.text, "256 bytes"));
    json_object_put(o);
}

Test(table, nesting_has_an_end_in_both_directions)
{
    struct json_object *o;
    char text[512] = "";
    amqp_table_t t;
    amqp_field_value_t levels[100];

    for (int i = 0; i < 70; i++)
        strcat(text, "{\"a\": ");
    strcat(text, "1");
    for (int i = 0; i < 70; i++)
        strcat(text, "}");
    o = parsed(text);
    cr_assert_eq(amq_table_encode(o, &pool, &t, &err), ST_TOOBIG);
    json_object_put(o);

    levels[0].kind = AMQP_FIELD_KIND_VOID;
    for (int i = 1; i < 100; i++) {
        levels[i].kind = AMQP_FIELD_KIND_ARRAY;
        levels[i].value.array = (amqp_array_t){1, &levels[i - 1]};
    }
    t = (amqp_table_t){
        1, &(amqp_table_entry_t){amqp_cstring_bytes("a"), levels[99]}};
    cr_assert_eq(amq_table_decode(&t, &o, &err), ST_PROTO);
}
