/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between settings and what no range can say. */
#include "base/config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/url.h"

/* words: separated by blanks. */
static bool
is_one_of(const char *s, size_t len, const char *words)
{
    size_t n;

    for (; *words != '\0'; words += n + (words[n] == ' ')) {
        n = strcspn(words, " ");
        if (n == len && strncasecmp(words, s, n) == 0)
            return true;
    }
    return false;
}

static enum status
check_url(const char *name, const char *text, const char *schemes,
          struct error *err)
{
    struct error why;
    struct url u;
    enum status st;

    if (*text == '\0')
        return ST_OK;
    st = url_parse(text, &u, &why);
    if (st != ST_OK)
        return error_set(err, st, "%s: %s", name, why.text);
    if (!is_one_of(u.scheme, strlen(u.scheme), schemes))
        st =
            error_set(err, ST_INVALID, "%s: scheme \"%.32s\" is not one of: %s",
                      name, u.scheme, schemes);
    url_fini(&u);
    return st;
}

/* Which may be separated by semicolons, all of the same kind. */
static const char amqp[] = "amqp pyamqp amqps", sentinel[] = "sentinel";

static enum status
check_list(const char *name, const char *text, const char *schemes,
           struct error *err)
{
    enum status st = ST_OK;

    while (st == ST_OK && *text != '\0') {
        size_t n = strcspn(text, ";");
        char *one = strndup(text, n);

        if (one == NULL)
            return error_set(err, ST_NOMEM, "%s: out of memory", name);
        st = check_url(name, one, schemes, err);
        free(one);
        text += n + (text[n] == ';');
    }
    return st;
}

/* One URL, or several: "amqp://a;amqp://b". */
static enum status
check_urls_of(const char *name, const char *text, const char *schemes,
              struct error *err)
{
    size_t n = strcspn(text, ":");

    if (is_one_of(text, n, sentinel))
        return check_list(name, text, sentinel, err);
    if (is_one_of(text, n, amqp) && is_one_of(text, n, schemes))
        return check_list(name, text, amqp, err);
    return check_url(name, text, schemes, err);
}

/* As SQLAlchemy's URLs have it, with its driver. */
static const char database[] =
    "db+postgresql db+postgresql+psycopg2 db+postgresql+psycopg "
    "database+postgresql sqlalchemy+postgresql postgresql";

/* rpc:// and disabled:// name no server; Celery takes the bare words, too. */
static enum status
check_backend(const char *text, struct error *err)
{
    static const char schemes[] = "redis rediss redis+socket socket sentinel "
                                  "rpc db+postgresql disabled";
    size_t n = strcspn(text, ":");

    if (is_one_of(text, n, "rpc disabled") &&
        (text[n] == '\0' || strcmp(text + n, "://") == 0))
        return ST_OK;
    /* Of this one libpq knows the rest. */
    if (is_one_of(text, n, database) && strncmp(text + n, "://", 3) == 0)
        return ST_OK;
    return check_urls_of("result_backend", text, schemes, err);
}

static enum status
check_urls(const struct config *c, struct error *err)
{
    static const char redis[] = "redis rediss redis+socket socket sentinel";
    static const char brokers[] = "redis rediss redis+socket socket sentinel "
                                  "amqp pyamqp amqps";
    const struct {
        const char *name, *text, *schemes;
    } urls[] = {
        {"broker_url", c->broker_url, brokers},
        {"cache_url", c->cache_url, redis},
        {"openai_base_url", c->openai_base_url, "http https"},
        {"anthropic_base_url", c->anthropic_base_url, "http https"},
        {"gemini_base_url", c->gemini_base_url, "http https"},
        {"palm_base_url", c->palm_base_url, "http https"},
        {"huggingface_base_url", c->huggingface_base_url, "http https"},
        {"compatible_base_url", c->compatible_base_url, "http https"},
    };
    enum status st = ST_OK;

    if (*c->broker_url == '\0')
        return error_set(err, ST_INVALID, "broker_url: must not be empty");
    st = check_backend(c->result_backend, err);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]) && st == ST_OK; i++)
        st = check_urls_of(urls[i].name, urls[i].text, urls[i].schemes, err);
    /* libpq also takes "host=... dbname=...". */
    if (st == ST_OK && strstr(c->database_url, "://") != NULL)
        st = check_url("database_url", c->database_url, "postgresql postgres",
                       err);
    return st;
}

static enum status
check_object(const char *name, const char *text, struct error *err)
{
    struct slice s = {text, strlen(text)};
    struct json_object *v = NULL;
    struct error why;
    enum status st;

    if (s.len == 0)
        return ST_OK;
    st = json_parse(s, 32, &v, &why);
    if (st != ST_OK)
        return error_set(err, st == ST_PROTO ? ST_INVALID : st, "%s: %s", name,
                         why.text);
    if (!json_object_is_type(v, json_type_object))
        st = error_set(err, ST_INVALID, "%s: is no JSON object", name);
    json_object_put(v);
    return st;
}

/* Celery's: whether, or how. */
static enum status
check_use_ssl(const char *name, const char *text, struct error *err)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return ST_OK;
    return check_object(name, text, err);
}
static const char contents[] =
    "json application/json msgpack application/x-msgpack";

/* Pickle and YAML can run code: they are refused by name. */
static enum status
check_accept(const char *name, const char *p, bool may_be_empty,
             struct error *err)
{
    size_t n;
    int accepted = 0;

    for (; *p != '\0'; p += n) {
        p += strspn(p, ", ");
        n = strcspn(p, ", ");
        if (n == 0)
            continue;
        if (!is_one_of(p, n, contents))
            return error_set(err, ST_INVALID,
                             "%s: \"%.*s\" is not one of: json msgpack", name,
                             (int)(n < 40 ? n : 40), p);
        accepted++;
    }
    if (accepted == 0 && !may_be_empty)
        return error_set(err, ST_INVALID, "%s: must not be empty", name);
    return ST_OK;
}

static enum status
check_words(const struct config *c, struct error *err)
{
    enum log_level level;

    if (log_level_parse(c->log_level, &level) != ST_OK)
        return error_set(err, ST_INVALID,
                         "log_level: \"%.20s\" is not one of: DEBUG INFO "
                         "WARNING ERROR CRITICAL",
                         c->log_level);
    if (!is_one_of(c->log_format, strlen(c->log_format), "text json"))
        return error_set(err, ST_INVALID,
                         "log_format: \"%.20s\" is neither text nor json",
                         c->log_format);
    if (!is_one_of(c->broker_failover_strategy,
                   strlen(c->broker_failover_strategy), "round-robin shuffle"))
        return error_set(err, ST_INVALID,
                         "broker_failover_strategy: \"%.20s\" is neither "
                         "round-robin nor shuffle",
                         c->broker_failover_strategy);
    if (*c->task_default_queue == '\0')
        return error_set(err, ST_INVALID,
                         "task_default_queue: must not be empty");
    return ST_OK;
}

static enum status
check_compression(const char *name, const char *word, struct error *err)
{
    if (*word == '\0' || is_one_of(word, strlen(word),
                                   "zlib gzip bzip2 bzip lzma xz zstd "
                                   "zstandard"))
        return ST_OK;
    return error_set(err, ST_INVALID,
                     "%s: \"%.20s\" is not one of: zlib gzip bzip2 lzma zstd",
                     name, word);
}

static enum status
check_results(const struct config *c, struct error *err)
{
    const char *s = c->result_serializer;
    enum status st = ST_OK;

    if (!is_one_of(s, strlen(s), contents))
        st = error_set(err, ST_INVALID,
                       "result_serializer: \"%.20s\" is not one of: json "
                       "msgpack",
                       s);
    if (st == ST_OK)
        st = check_accept("result_accept_content", c->result_accept_content,
                          true, err);
    if (st == ST_OK)
        st = check_compression("task_compression", c->task_compression, err);
    if (st == ST_OK)
        st =
            check_compression("result_compression", c->result_compression, err);
    if (st == ST_OK)
        st = check_object("result_backend_transport_options",
                          c->result_backend_transport_options, err);
    if (st == ST_OK)
        st = check_object("database_table_names", c->database_table_names, err);
    if (st == ST_OK)
        st = check_object("database_table_schemas", c->database_table_schemas,
                          err);
    return st;
}

static enum status
check_queues(const struct config *c, struct error *err)
{
    const struct {
        const char *name, *text;
    } types[] = {
        {"task_default_queue_type", c->task_default_queue_type},
        {"task_create_missing_queue_type", c->task_create_missing_queue_type},
        {"broker_native_delayed_delivery_queue_type",
         c->broker_native_delayed_delivery_queue_type},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (!is_one_of(types[i].text, strlen(types[i].text), "classic quorum"))
            return error_set(err, ST_INVALID,
                             "%s: \"%.20s\" is neither classic nor quorum",
                             types[i].name, types[i].text);
    if (*c->task_default_exchange_type == '\0')
        return error_set(err, ST_INVALID,
                         "task_default_exchange_type: must not be empty");
    return ST_OK;
}

enum status
config_check(const struct config *c, struct error *err)
{
    enum status st = check_urls(c, err);

    if (st == ST_OK)
        st = check_words(c, err);
    if (st == ST_OK)
        st = check_accept("accept_content", c->accept_content, false, err);
    if (st == ST_OK)
        st = check_results(c, err);
    if (st == ST_OK)
        st = check_object("broker_transport_options",
                          c->broker_transport_options, err);
    if (st == ST_OK)
        st = check_use_ssl("broker_use_ssl", c->broker_use_ssl, err);
    if (st == ST_OK)
        st = check_use_ssl("redis_backend_use_ssl", c->redis_backend_use_ssl,
                           err);
    if (st == ST_OK)
        st = check_queues(c, err);
    if (st == ST_OK && c->task_time_limit > 0 &&
        c->task_soft_time_limit > c->task_time_limit)
        st = error_set(err, ST_INVALID,
                       "task_soft_time_limit: %g is above task_time_limit, %g",
                       c->task_soft_time_limit, c->task_time_limit);
    return st;
}
