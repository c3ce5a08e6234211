#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "base/buf.h"
#include "base/log.h"

#include <stdint.h>

/* All settings: one table (config.c), read once, checked before anything
 * starts.  A setting that Celery has carries Celery's lower-case name. Sources,
 * later ones win: defaults, the file (INI, "name = value", no section needed),
 * the environment (LOVAGE_ and the upper-case name; CELERY_BROKER_URL and
 * CELERY_RESULT_BACKEND are honoured), the command line.  Strings are owned by
 * the config; "" means not set.  Times are in the unit of the name. */
struct config {
    /* the services */
    char *broker_url, *result_backend, *database_url;
    char *cache_url; /* the response cache's Redis; "": the result backend's */
    char *broker_transport_options; /* JSON object, as Celery's dict */
    char *broker_use_ssl;           /* "", true, false or a JSON object */
    char *broker_failover_strategy; /* round-robin or shuffle */
    char *broker_native_delayed_delivery_queue_type; /* quorum or classic */
    double broker_connection_timeout;
    int64_t broker_connection_max_retries; /* 0: for ever */

    /* tasks */
    char *task_default_queue;
    char *task_default_exchange, *task_default_routing_key; /* "": the queue */
    char *task_default_exchange_type;
    char *task_default_queue_type; /* classic or quorum */
    int64_t task_default_priority; /* -1: none */
    int64_t task_default_delivery_mode;
    int64_t task_queue_max_priority; /* 0: none */
    bool task_create_missing_queues;
    char *task_create_missing_queue_type;          /* classic or quorum */
    char *task_create_missing_queue_exchange_type; /* "": direct */
    char *task_queues;    /* comma list, or JSON: protocol/topology.h */
    char *task_routes;    /* JSON: protocol/routes.h */
    char *accept_content; /* comma list of short names or MIME types */
    char *task_compression;
    double task_time_limit, task_soft_time_limit; /* s; 0: none */
    bool task_acks_late, task_acks_on_failure_or_timeout;
    bool task_reject_on_worker_lost, task_ignore_result, task_track_started;
    bool task_store_errors_even_if_ignored;

    /* results */
    int64_t result_expires; /* s; 0: never */
    bool result_extended, result_persistent;
    char *result_serializer;     /* json or msgpack */
    char *result_compression;    /* of rpc:// */
    char *result_accept_content; /* "": accept_content */
    bool result_backend_always_retry;
    int64_t result_backend_max_retries; /* 0: no end */
    int64_t result_backend_base_sleep_between_retries_ms;
    int64_t result_backend_max_sleep_between_retries_ms;
    char *result_backend_transport_options; /* JSON object */
    char *redis_backend_use_ssl;            /* as broker_use_ssl */
    double redis_socket_timeout, redis_socket_connect_timeout; /* s */
    double redis_backend_health_check_interval /* s; 0: never */;
    bool redis_socket_keepalive;
    double result_chord_retry_interval;                  /* s */
    char *database_table_names, *database_table_schemas; /* JSON objects */
    bool database_create_tables_at_setup;

    /* worker */
    int64_t worker_concurrency;       /* executors a node; 0: one a core */
    int64_t worker_async_concurrency; /* LLM and other async tasks at once */
    int64_t worker_nodes;
    int64_t worker_prefetch_multiplier;
    int64_t worker_max_tasks_per_child;  /* 0: no limit */
    int64_t worker_max_memory_per_child; /* KiB of RSS; 0: no limit */
    int64_t worker_max_attempts; /* deliveries before a crashing task is told */
    bool worker_enable_remote_control;
    double worker_proc_alive_timeout; /* s; 0: no end */
    double worker_shutdown_timeout; /* s a warm shutdown may take; 0: no end */
    double worker_lease;   /* s; a node silent for so long has lost its tasks */
    char *worker_include;  /* comma list of plugins (.so) */
    char *worker_hostname; /* -n, with %h %n %d %i */
    char *worker_queues;   /* -Q: comma list; "": all of task_queues */
    char *worker_exclude_queues; /* -X: comma list */

    /* LLM */
    char *llm_models_file;
    char *llm_default_provider;
    double llm_timeout, llm_first_byte_timeout, llm_connect_timeout; /* s */
    int64_t llm_max_response_bytes, llm_max_retries, llm_max_prompt_bytes;
    int64_t llm_max_fan_out, llm_cache_ttl /* s; 0: no cache */;
    int64_t llm_reasoning_allowance; /* tokens added for models that reason */
    char *openai_api_key, *openai_base_url;
    char *anthropic_api_key, *anthropic_base_url;
    char *gemini_api_key, *gemini_base_url;
    char *palm_api_key, *palm_base_url;
    char *huggingface_api_key, *huggingface_base_url;
    char *compatible_api_key, *compatible_base_url;

    /* api */
    char *api_host;
    int64_t api_port, api_threads, api_max_body_bytes;
    double api_request_timeout, api_wait_timeout; /* s */
    double api_shutdown_timeout;

    /* database */
    int64_t database_connections; /* of one process */
    double database_timeout;      /* s before a request is answered 503 */
    int64_t database_outbox_max;  /* messages that wait there; 0: no bound */

    /* log */
    char *log_level, *log_format;
};

enum config_type { CONFIG_STR, CONFIG_INT, CONFIG_NUM, CONFIG_BOOL };

struct config_item {
    const char *name;
    size_t offset; /* in struct config */
    enum config_type type;
    const char *dflt;
    double min, max;  /* of a number */
    bool secret;      /* never printed */
    const char *env;  /* a second variable that is honoured, or NULL */
    const char *help; /* one sentence, for --help and docs/configuration.md */
};

/* The table; ends with a NULL name. */
const struct config_item *config_items(void);

enum status config_init(struct config *c, struct error *err); /* defaults */
enum status config_load_file(struct config *c, const char *path,
                             struct error *err);
/* One line of the file, which is cut up.  Blank lines, [sections] and lines
 * that begin with # or ; hold nothing; quotes around a value are dropped. */
enum status config_load_line(struct config *c, char *line, struct error *err);

/* An empty variable counts as not set. */
enum status config_load_env(struct config *c, struct error *err);

/* One value as text.  The error names the setting, the value and the reason. */
enum status config_set(struct config *c, const char *name, const char *value,
                       struct error *err);

/* What holds between settings (schemes known, numbers that fit). */
enum status config_check(const struct config *c, struct error *err);
void config_fini(struct config *c);

/* docs/configuration.md: a table of all settings. */
void config_write_manual(struct buf *out);
/* "name = value" lines; secrets and passwords are starred. */
void config_write_values(const struct config *c, struct buf *out);

#endif
