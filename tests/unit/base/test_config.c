/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct config c;
static struct error err;

static void
begin(void)
{
    cr_assert_eq(config_init(&c, &err), ST_OK, "%s", err.text);
}

static void
end(void)
{
    config_fini(&c);
}

static char *
printed(void)
{
    struct buf b;
    char *text = NULL;

    buf_init(&b, 1 << 20);
    config_write_values(&c, &b);
    cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
    return text;
}

/* Loads text as a file and returns what came of it. */
static enum status
load(const char *text)
{
    char path[] = "/tmp/lovage-config-XXXXXX";
    int fd = mkstemp(path);
    enum status st;

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    st = config_load_file(&c, path, &err);
    unlink(path);
    return st;
}

TestSuite(config, .init = begin, .fini = end);

Test(config, defaults_are_celerys_and_hold_together)
{
    cr_expect_str_eq(c.broker_url, "redis://localhost:6379/0");
    cr_expect_str_eq(c.task_default_queue, "celery");
    cr_expect_str_eq(c.result_backend, "");
    cr_expect_eq(c.worker_prefetch_multiplier, 4);
    cr_expect_eq(c.result_expires, 86400);
    cr_expect_eq(c.broker_connection_timeout, 4.0);
    cr_expect(c.task_acks_on_failure_or_timeout);
    cr_expect_not(c.task_acks_late);
    cr_expect_eq(config_check(&c, &err), ST_OK, "%s", err.text);
}

Test(config, every_setting_has_a_place_of_its_own)
{
    const struct config_item *items = config_items();

    for (size_t i = 0; items[i].name != NULL; i++) {
        cr_expect_gt(strlen(items[i].help), 3);
        for (size_t j = 0; j < i; j++) {
            cr_expect_str_neq(items[i].name, items[j].name);
            cr_expect_neq(items[i].offset, items[j].offset);
        }
    }
}

Test(config, good_values_are_taken)
{
    cr_expect_eq(config_set(&c, "worker_concurrency", "8", &err), ST_OK);
    cr_expect_eq(c.worker_concurrency, 8);
    cr_expect_eq(config_set(&c, "llm_timeout", "2.5", &err), ST_OK);
    cr_expect_eq(c.llm_timeout, 2.5);
    cr_expect_eq(config_set(&c, "task_acks_late", "Yes", &err), ST_OK);
    cr_expect(c.task_acks_late);
    cr_expect_eq(config_set(&c, "task_acks_late", "off", &err), ST_OK);
    cr_expect_not(c.task_acks_late);
    cr_expect_eq(config_set(&c, "task_queues", "a,b", &err), ST_OK);
    cr_expect_str_eq(c.task_queues, "a,b");
}

Test(config, bad_values_are_refused_by_name_value_and_range)
{
    static const struct {
        const char *name, *value, *text;
    } rows[] = {
        {"worker_concurrency", "many",
         "worker_concurrency: \"many\" is no whole number (0 to 1024)"},
        {"worker_concurrency", "",
         "worker_concurrency: \"\" is no whole number (0 to 1024)"},
        {"worker_concurrency", "1.5",
         "worker_concurrency: \"1.5\" is no whole number (0 to 1024)"},
        {"worker_concurrency", " 1",
         "worker_concurrency: \" 1\" is no whole number (0 to 1024)"},
        {"worker_concurrency", "0x10",
         "worker_concurrency: \"0x10\" is no whole number (0 to 1024)"},
        {"worker_concurrency", "-1",
         "worker_concurrency: -1 is out of range (0 to 1024)"},
        {"api_port", "0", "api_port: 0 is out of range (1 to 65535)"},
        {"api_port", "99999999999999999999999",
         "api_port: 99999999999999999999999 is out of range (1 to 65535)"},
        {"llm_timeout", "nan",
         "llm_timeout: \"nan\" is no number (0.1 to 86400)"},
        {"llm_timeout", "1e999",
         "llm_timeout: 1e999 is out of range (0.1 to 86400)"},
        {"task_acks_late", "maybe",
         "task_acks_late: \"maybe\" is neither true nor false"},
        {"no_such", "1", "no_such: there is no such setting"},
        {"", "1", ": there is no such setting"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_eq(config_set(&c, rows[i].name, rows[i].value, &err),
                     ST_INVALID);
        cr_expect_str_eq(err.text, rows[i].text);
    }
    cr_expect_eq(c.worker_concurrency, 0);
}

Test(config, a_file_is_names_and_values_with_comments)
{
    cr_assert_eq(load("# a comment\r\n"
                      "; another\n"
                      "\n"
                      "[worker]\n"
                      "  worker_concurrency = 3  \r\n"
                      "task_default_queue=\"a b \"\n"
                      "openai_api_key = sk-a;b#c = d\n"
                      "result_backend =\n"
                      "llm_timeout = 9"),
                 ST_OK, "%s", err.text);
    cr_expect_eq(c.worker_concurrency, 3);
    cr_expect_str_eq(c.task_default_queue, "a b ");
    cr_expect_str_eq(c.openai_api_key, "sk-a;b#c = d");
    cr_expect_str_eq(c.result_backend, "");
    cr_expect_eq(c.llm_timeout, 9.0);
}

Test(config, a_value_of_thousands_of_bytes_arrives_whole)
{
    char line[5100] = "task_queues = ";

    memset(line + 14, 'q', 5000);
    cr_assert_eq(load(line), ST_OK);
    cr_assert_eq(strlen(c.task_queues), 5000);
}

Test(config, an_error_in_a_file_names_file_and_line)
{
    static const struct {
        const char *text, *end;
    } rows[] = {
        {"\n\nworker_nodes = x\n", ":3: worker_nodes: \"x\" is no whole number "
                                   "(1 to 256)"},
        {"nonsense\n", ":1: neither name = value nor a comment"},
        {"[section\n", ":1: section without a ]"},
        {"\ntypo = 1\n", ":2: typo: there is no such setting"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_eq(load(rows[i].text), ST_INVALID);
        cr_expect_not_null(strstr(err.text, rows[i].end), "%s", err.text);
        cr_expect_eq(strncmp(err.text, "/tmp/lovage-config-", 19), 0);
    }
    cr_expect_eq(config_load_file(&c, "/no/such/file", &err), ST_NOTFOUND);
    cr_expect_str_eq(err.text, "/no/such/file: No such file or directory");
}

Test(config, the_environment_wins_over_the_file_and_ours_over_celerys)
{
    setenv("CELERY_BROKER_URL", "redis://celerys", 1);
    setenv("CELERY_RESULT_BACKEND", "redis://celerys", 1);
    setenv("LOVAGE_RESULT_BACKEND", "redis://ours", 1);
    setenv("OPENAI_API_KEY", "sk-1", 1);
    setenv("LOVAGE_WORKER_NODES", "", 1);
    setenv("LOVAGE_NO_SUCH_SETTING", "1", 1);
    cr_assert_eq(load("broker_url = redis://file\nworker_nodes = 2\n"), ST_OK);
    cr_assert_eq(config_load_env(&c, &err), ST_OK, "%s", err.text);
    cr_expect_str_eq(c.broker_url, "redis://celerys");
    cr_expect_str_eq(c.result_backend, "redis://ours");
    cr_expect_str_eq(c.openai_api_key, "sk-1");
    cr_expect_eq(c.worker_nodes, 2);
}

Test(config, a_service_link_of_kubernetes_is_not_a_setting)
{
    setenv("LOVAGE_API_PORT", "tcp://10.0.0.1:8080", 1);
    cr_assert_eq(config_load_env(&c, &err), ST_OK);
    cr_assert_eq(c.api_port, 8080);
}

Test(config, an_error_in_the_environment_names_the_variable)
{
    setenv("LOVAGE_API_PORT", "http", 1);
    cr_assert_eq(config_load_env(&c, &err), ST_INVALID);
    cr_assert_str_eq(err.text,
                     "environment variable LOVAGE_API_PORT: api_port: \"http\" "
                     "is no whole number (1 to 65535)");
}

Test(config, what_does_not_fit_together_is_refused)
{
    static const struct {
        const char *name, *value, *starts;
    } rows[] = {
        {"broker_url", "", "broker_url: must not be empty"},
        {"broker_url", "kafka://h", "broker_url: scheme \"kafka\" is not one"},
        {"broker_url", "amqp://h;redis://h", "broker_url: scheme \"redis\" is"},
        {"broker_url", "localhost", "broker_url: URL: no scheme://"},
        {"result_backend", "mongodb://h",
         "result_backend: scheme \"mongodb\" is not one of: redis rediss "},
        {"result_backend", "cache+memory://",
         "result_backend: scheme \"cache+memory\" is not one of: "},
        {"result_backend", "memory", "result_backend: "},
        {"result_serializer", "pickle",
         "result_serializer: \"pickle\" is not one of: json msgpack"},
        {"result_accept_content", "json,yaml",
         "result_accept_content: \"yaml\" is not one of: json msgpack"},
        {"result_compression", "brotli",
         "result_compression: \"brotli\" is not one of: zlib gzip bzip2"},
        {"result_backend_transport_options", "[]",
         "result_backend_transport_options: is no JSON object"},
        {"database_url", "mysql://h/d", "database_url: scheme \"mysql\""},
        {"openai_base_url", "ftp://h", "openai_base_url: scheme \"ftp\""},
        {"accept_content", "json,pickle", "accept_content: \"pickle\" is not"},
        {"accept_content", "application/x-python-serialize",
         "accept_content: \"application/x-python-serialize\" is not"},
        {"accept_content", " , ", "accept_content: must not be empty"},
        {"log_level", "LOUD", "log_level: \"LOUD\" is not one of"},
        {"log_format", "xml", "log_format: \"xml\" is neither"},
        {"task_compression", "rar", "task_compression: \"rar\" is not one"},
        {"task_default_queue_type", "stream",
         "task_default_queue_type: \"stream\" is neither classic nor quorum"},
        {"broker_failover_strategy", "random",
         "broker_failover_strategy: \"random\" is neither round-robin nor "
         "shuffle"},
        {"broker_transport_options", "1",
         "broker_transport_options: is no JSON object"},
        {"task_default_queue", "", "task_default_queue: must not be empty"},
        {"task_soft_time_limit", "61", "task_soft_time_limit: 61 is above"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        config_fini(&c);
        begin();
        cr_assert_eq(config_set(&c, "task_time_limit", "60", &err), ST_OK);
        cr_assert_eq(config_set(&c, rows[i].name, rows[i].value, &err), ST_OK);
        cr_expect_eq(config_check(&c, &err), ST_INVALID, "%s=%s", rows[i].name,
                     rows[i].value);
        cr_expect_eq(strncmp(err.text, rows[i].starts, strlen(rows[i].starts)),
                     0, "%s", err.text);
    }
}

Test(config, what_fits_together_is_accepted)
{
    static const char *const rows[][2] = {
        {"broker_url", "rediss://:p@h:1/2"},
        {"broker_url", "redis+socket:///run/redis.sock?virtual_host=3"},
        {"broker_url", "amqp://u:p@h:5672//"},
        {"broker_url", "amqp://a:1;pyamqp://b/v;amqps://c"},
        {"result_backend", "socket:///run/redis.sock"},
        {"result_backend", "rpc://"},
        {"result_backend", "rpc"},
        {"result_backend", "disabled://"},
        {"result_backend", "disabled"},
        {"result_serializer", "application/x-msgpack"},
        {"result_accept_content", "json, msgpack"},
        {"result_compression", "zstd"},
        {"database_url", "postgresql://u:p@h/d"},
        {"database_url", "host=/run/pg dbname=x"},
        {"accept_content", "application/json"},
        {"task_compression", "zlib"},
        {"task_routes", ""},
        {"log_format", "json"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_assert_eq(config_set(&c, rows[i][0], rows[i][1], &err), ST_OK);
        cr_expect_eq(config_check(&c, &err), ST_OK, "%s", err.text);
    }
}

Test(config, secrets_are_never_printed)
{
    static const char *const rows[][2] = {
        {"openai_api_key", "hunter2"},
        {"huggingface_api_key", "hunter2"},
        {"broker_url", "redis://u:hunter2@h"},
        {"database_url", "host=h password=hunter2"},
        {"broker_transport_options",
         "{\"sentinel_kwargs\": {\"password\": \"hunter2\"}}"},
    };
    char *text;

    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(config_set(&c, rows[i][0], rows[i][1], &err), ST_OK);
    text = printed();
    cr_expect_null(strstr(text, "hunter2"));
    cr_expect_not_null(strstr(text, "\nopenai_api_key = ***\n"));
    cr_expect_not_null(strstr(text, "\nanthropic_api_key = \n"));
    cr_expect_not_null(strstr(text, "broker_url = redis://u:***@h\n"));
    free(text);
}

Test(config, what_is_printed_can_be_loaded)
{
    char *text = printed(), *again;

    cr_assert_eq(load(text), ST_OK, "%s", err.text);
    again = printed();
    cr_assert_str_eq(text, again);
    free(text);
    free(again);
}

Test(config, the_manual_has_a_row_for_each_setting)
{
    struct buf b;
    char *text, row[100];

    buf_init(&b, 1 << 20);
    config_write_manual(&b);
    cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
    for (const struct config_item *i = config_items(); i->name != NULL; i++) {
        snprintf(row, sizeof(row), "\n| `%s` | ", i->name);
        cr_expect_not_null(strstr(text, row));
    }
    cr_expect_not_null(
        strstr(text, "| `LOVAGE_BROKER_URL`, `CELERY_BROKER_URL` |"));
    free(text);
}

static void
expect_check(const char *name, const char *value, enum status expected)
{
    cr_assert_eq(config_set(&c, name, value, &err), ST_OK);
    cr_expect_eq(config_check(&c, &err), expected, "%s = %s: %s", name, value,
                 err.text);
}

Test(config, sentinels_are_a_list_of_one_kind)
{
    expect_check("broker_url", "sentinel://:p@h:1/0;sentinel://h2", ST_OK);
    expect_check("result_backend", "sentinel://h:1;sentinel://h2:2/1", ST_OK);
    expect_check("cache_url", "sentinel://h", ST_OK);
    expect_check("broker_url", "sentinel://h;redis://h", ST_INVALID);
}

Test(config, tls_is_a_word_or_an_object)
{
    expect_check("broker_use_ssl", "true", ST_OK);
    expect_check("broker_use_ssl", "{\"ssl_cert_reqs\": 2}", ST_OK);
    expect_check("redis_backend_use_ssl", "false", ST_OK);
    expect_check("redis_backend_use_ssl", "perhaps", ST_INVALID);
}
