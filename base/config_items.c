/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all settings. */
#include "base/config.h"

#define AT(name) #name, offsetof(struct config, name)

#define STR(name, dflt, help)                               \
    {                                                       \
        AT(name), CONFIG_STR, dflt, 0, 0, false, NULL, help \
    }
#define STR_ENV(name, dflt, env, help)                     \
    {                                                      \
        AT(name), CONFIG_STR, dflt, 0, 0, false, env, help \
    }
#define SECRET(name, env, help)                         \
    {                                                   \
        AT(name), CONFIG_STR, "", 0, 0, true, env, help \
    }
#define INT(name, dflt, min, max, help)                         \
    {                                                           \
        AT(name), CONFIG_INT, dflt, min, max, false, NULL, help \
    }
#define NUM(name, dflt, min, max, help)                         \
    {                                                           \
        AT(name), CONFIG_NUM, dflt, min, max, false, NULL, help \
    }
#define BOOL(name, dflt, help)                               \
    {                                                        \
        AT(name), CONFIG_BOOL, dflt, 0, 1, false, NULL, help \
    }

#define DAY  86400.0
#define YEAR (366 * DAY)
#define MANY 1e9
#define TIB  1099511627776.0

static const struct config_item items[] = {
    /* the services */
    STR_ENV(broker_url, "redis://localhost:6379/0", "CELERY_BROKER_URL",
            "Where messages are sent and consumed: redis://, rediss://, "
            "redis+socket://, sentinel://, amqp:// or amqps://; of sentinels "
            "and of AMQP brokers also a list separated by semicolons."),
    STR_ENV(result_backend, "", "CELERY_RESULT_BACKEND",
            "Where results are kept for AsyncResult: redis://, rediss://, "
            "redis+socket://, sentinel://, db+postgresql:// (Celery's own "
            "tables), or rpc:// (sent over the broker to who sent the task); "
            "empty or disabled://: results are not kept."),
    STR(database_url, "",
        "PostgreSQL, where tasks and usage are recorded: postgresql://...; "
        "empty: no records (the api needs it)."),
    STR(cache_url, "",
        "The Redis of the LLM response cache; empty: that of result_backend."),
    STR(broker_transport_options, "{}",
        "JSON object with Celery's transport options, such as "
        "visibility_timeout, priority_steps, global_keyprefix and, for "
        "sentinel://, master_name."),
    STR(broker_use_ssl, "",
        "TLS to the broker: true, false, or a JSON object with Celery's keys "
        "ssl_cert_reqs, ssl_ca_certs, ssl_certfile, ssl_keyfile and "
        "ssl_check_hostname; what the URL says comes first."),
    STR(broker_failover_strategy, "round-robin",
        "How the next of several brokers is chosen: round-robin or shuffle."),
    STR(broker_native_delayed_delivery_queue_type, "quorum",
        "Type of the queues in which RabbitMQ holds ETA tasks for quorum "
        "queues: quorum or classic (Celery 5.5 and newer)."),
    NUM(broker_connection_timeout, "4", 0.1, 3600,
        "Seconds to wait for a connection to the broker."),
    INT(broker_connection_max_retries, "0", 0, MANY,
        "Attempts to connect again before giving up; 0: for ever."),

    /* tasks */
    STR(task_default_queue, "celery", "The queue of tasks without a route."),
    STR(task_default_exchange, "",
        "The exchange of queues that name none; empty: task_default_queue."),
    STR(task_default_exchange_type, "direct",
        "The type of task_default_exchange: direct, topic or fanout."),
    STR(task_default_routing_key, "",
        "The routing key of queues that name none; empty: "
        "task_default_queue."),
    STR(task_default_queue_type, "classic",
        "classic or quorum: what task_default_queue is (Celery 5.5 and "
        "newer)."),
    INT(task_default_priority, "-1", -1, 255,
        "Priority of tasks that are sent without one; -1: none."),
    INT(task_default_delivery_mode, "2", 1, 2,
        "2: RabbitMQ keeps messages on disk; 1: in memory."),
    INT(task_queue_max_priority, "0", 0, 255,
        "x-max-priority of queues that say none; 0: none."),
    BOOL(task_create_missing_queues, "true",
         "Make queues that are used and not in task_queues."),
    STR(task_create_missing_queue_type, "classic",
        "classic or quorum: what is made then (Celery 5.6 and newer)."),
    STR(task_create_missing_queue_exchange_type, "",
        "The type of the exchange that is made then; empty: direct (Celery "
        "5.6 and newer)."),
    STR(task_queues, "",
        "The queues: comma-separated names, or JSON with their exchanges, "
        "bindings and arguments; empty: task_default_queue. A worker consumes "
        "all of them unless worker_queues says which."),
    STR(task_routes, "{}",
        "JSON: task name, glob or regular expression to a queue or to queue, "
        "exchange, routing_key, priority."),
    STR(accept_content, "json",
        "Comma-separated content types that are accepted; pickle never is."),
    STR(task_compression, "",
        "Compression of sent messages: zlib, gzip, bzip2, lzma or zstd; empty: "
        "none."),
    NUM(task_time_limit, "0", 0, YEAR,
        "Seconds after which a task is killed; 0: none."),
    NUM(task_soft_time_limit, "0", 0, YEAR,
        "Seconds after which a task is asked to end; 0: none."),
    BOOL(task_acks_late, "false",
         "Acknowledge messages after the task instead of before it."),
    BOOL(task_acks_on_failure_or_timeout, "true",
         "With task_acks_late: also acknowledge tasks that failed."),
    BOOL(task_reject_on_worker_lost, "false",
         "With task_acks_late: run a task again whose executor died."),
    BOOL(task_ignore_result, "false", "Do not keep results."),
    BOOL(task_track_started, "false", "Record the state STARTED."),
    BOOL(task_store_errors_even_if_ignored, "false",
         "Keep failures of tasks whose results are ignored."),

    /* results */
    INT(result_expires, "86400", 0, 100 * YEAR,
        "Seconds that results are kept; 0: for ever."),
    NUM(result_chord_retry_interval, "1", 0.01, 3600,
        "Seconds between two looks at a chord's members, with a backend that "
        "cannot count them (db+postgresql://)."),
    STR(database_table_names, "{}",
        "JSON object: the names of the tables of a db+postgresql:// backend, "
        "\"task\" and \"group\"; else celery_taskmeta and "
        "celery_tasksetmeta."),
    STR(database_table_schemas, "{}",
        "JSON object: the schemas of these tables, \"task\" and \"group\"."),
    BOOL(database_create_tables_at_setup, "true",
         "Create these tables, if they are missing, on connecting; false: "
         "before they are first used."),
    BOOL(result_extended, "false",
         "Keep name, arguments, worker, retries and queue with the result."),
    STR(result_serializer, "json",
        "What results are written as: json or "
        "msgpack."),
    STR(result_accept_content, "",
        "Comma-separated content types of results that are read; empty: "
        "accept_content."),
    STR(result_compression, "",
        "Compression of results that rpc:// sends: zlib, gzip, bzip2, lzma or "
        "zstd; empty: none."),
    BOOL(
        result_persistent, "false",
        "rpc:// results survive a restart of the broker, if their queue does."),
    BOOL(result_backend_always_retry, "true",
         "Try to store a result again while the backend is away; false: only "
         "as long as retry_policy in result_backend_transport_options says."),
    INT(result_backend_max_retries, "0", 0, MANY,
        "With result_backend_always_retry: attempts before a task ends without "
        "its result being stored; 0: no end."),
    INT(result_backend_base_sleep_between_retries_ms, "10", 1, MANY,
        "Milliseconds before the first of these attempts; doubled for each "
        "further one."),
    INT(result_backend_max_sleep_between_retries_ms, "10000", 1, MANY,
        "Milliseconds between two of these attempts at most."),
    STR(result_backend_transport_options, "{}",
        "JSON object with Celery's options of the result backend: "
        "global_keyprefix, retry_policy; for sentinel:// master_name and "
        "sentinel_kwargs."),
    STR(redis_backend_use_ssl, "",
        "TLS to a Redis result backend, as broker_use_ssl."),
    NUM(redis_socket_timeout, "10", 0.1, 3600,
        "Seconds without an answer of a Redis result backend after which the "
        "connection counts as lost."),
    NUM(redis_socket_connect_timeout, "5", 0.1, 3600,
        "Seconds to wait for a connection to a Redis result backend."),
    NUM(redis_backend_health_check_interval, "25", 0, 3600,
        "Seconds of silence after which a Redis result backend is asked "
        "whether it is still there; 0: never."),
    BOOL(redis_socket_keepalive, "true",
         "TCP keepalive to a Redis result backend."),

    /* worker */
    INT(worker_concurrency, "0", 0, 1024,
        "Executors of a node, for blocking tasks; 0: one a core."),
    INT(worker_async_concurrency, "1000", 1, 100000,
        "LLM and other async tasks that a node runs at a time."),
    INT(worker_nodes, "1", 1, 256, "Nodes (event loops) of a worker."),
    INT(worker_prefetch_multiplier, "4", 0, 10000,
        "Messages taken ahead for each executor; 0: no limit. 1: async tasks "
        "do not wait in a node either."),
    NUM(worker_proc_alive_timeout, "30", 0, 3600,
        "Seconds that an executor has to start, or it is replaced; 0: no end."),
    INT(worker_max_tasks_per_child, "0", 0, MANY,
        "Tasks after which an executor is replaced; 0: no limit."),
    INT(worker_max_memory_per_child, "0", 0, MANY,
        "KiB of memory above which an executor is replaced; 0: no limit."),
    INT(worker_max_attempts, "3", 1, 1000,
        "Deliveries of a task whose executors die before it is told as "
        "failed."),
    BOOL(worker_enable_remote_control, "true",
         "Answer celery inspect and celery control."),
    NUM(worker_shutdown_timeout, "25", 0, DAY,
        "Seconds that running tasks have to finish after SIGTERM; 0: no end, "
        "as Celery."),
    NUM(worker_lease, "30", 5, 3600,
        "Seconds after which the tasks of a silent node are given to others."),
    STR(worker_include, "", "Comma-separated plugins (.so) with tasks."),
    STR(worker_hostname, "celery@%h",
        "Name of the node; %h: host name with domain, %n: without, %d: the "
        "domain, %i: number of the node."),

    STR(worker_queues, "",
        "Comma-separated queues that this worker consumes (-Q); empty: all of "
        "task_queues."),
    STR(worker_exclude_queues, "",
        "Comma-separated queues that this worker does not consume (-X)."),

    /* LLM */
    STR(llm_models_file, "",
        "JSON file with models and their hosts, in place of the built-in "
        "deploy/models.json."),
    STR(llm_default_provider, "",
        "Provider of model names that tell none; empty: refuse them."),
    NUM(llm_timeout, "120", 0.1, DAY, "Seconds that one LLM call may take."),
    NUM(llm_first_byte_timeout, "0", 0, DAY,
        "Seconds until the first byte of an answer; 0: no limit but "
        "llm_timeout, since an answer begins when all of it is written."),
    NUM(llm_connect_timeout, "5", 0.1, 300,
        "Seconds to connect to a provider."),
    INT(llm_max_response_bytes, "4194304", 1024, TIB,
        "Bytes that an answer may have."),
    INT(llm_max_retries, "3", 0, 100,
        "Further attempts after a failure that may pass."),
    INT(llm_max_prompt_bytes, "32768", 1, TIB, "Bytes that a prompt may have."),
    INT(llm_max_fan_out, "16", 1, 1000, "Models that one query may ask."),
    INT(llm_cache_ttl, "3600", 0, 100 * YEAR,
        "Seconds that an answer is kept for equal queries; 0: no cache."),
    INT(llm_reasoning_allowance, "4096", 0, MANY,
        "Tokens added to max_tokens for models that reason before they "
        "answer."),
    SECRET(openai_api_key, "OPENAI_API_KEY", "Key of OpenAI."),
    STR_ENV(openai_base_url, "", "OPENAI_BASE_URL",
            "Base URL of OpenAI; empty: https://api.openai.com/v1."),
    SECRET(anthropic_api_key, "ANTHROPIC_API_KEY", "Key of Anthropic."),
    STR_ENV(anthropic_base_url, "", "ANTHROPIC_BASE_URL",
            "Base URL of Anthropic; empty: its own."),
    SECRET(gemini_api_key, "GEMINI_API_KEY", "Key of Google's Gemini API."),
    STR(gemini_base_url, "", "Base URL of Gemini; empty: Google's."),
    SECRET(palm_api_key, "PALM_API_KEY", "Key of Google's PaLM API."),
    STR(palm_base_url, "", "Base URL of PaLM; empty: Google's."),
    SECRET(huggingface_api_key, "HF_TOKEN", "Token of Hugging Face."),
    STR(huggingface_base_url, "",
        "Base URL of Hugging Face's router or of a TGI server; empty: the "
        "router."),
    SECRET(compatible_api_key, NULL,
           "Key of the server at compatible_base_url, if it needs one."),
    STR(compatible_base_url, "", "Base URL of any server with OpenAI's API."),

    /* api */
    STR(api_host, "127.0.0.1", "Address that the api listens on."),
    INT(api_port, "8080", 1, 65535, "Port that the api listens on."),
    INT(api_threads, "64", 1, 1024, "Requests that are served at a time."),
    INT(api_max_body_bytes, "1048576", 1, TIB,
        "Bytes that the body of a request may have."),
    NUM(api_request_timeout, "10", 0.1, 3600,
        "Seconds that a client has to send a request."),
    NUM(api_wait_timeout, "60", 0, 3600,
        "Seconds that a request may wait for the result of its task."),
    NUM(api_shutdown_timeout, "25", 0, 3600,
        "Seconds that running requests have to finish after SIGTERM."),

    /* database */
    INT(database_connections, "2", 1, 1000,
        "Connections to PostgreSQL of one process."),
    NUM(database_timeout, "5", 0.1, 3600,
        "Seconds to wait for PostgreSQL before answering 503."),
    INT(database_outbox_max, "1000000", 0, TIB,
        "Messages that may wait in the outbox for the broker; beyond that the "
        "api answers submissions with 503. They stay for two seconds after "
        "they were published. 0: no bound."),

    /* log */
    STR(log_level, "INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL."),
    STR(log_format, "text", "text or json (one object a line)."),
    {.name = NULL},
};

const struct config_item *
config_items(void)
{
    return items;
}
