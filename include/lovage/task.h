/* Lovage's task API: Celery tasks written in C.
 *
 * A plugin is a shared object that exports lovage_plugin_init() and registers
 * its tasks there:
 *
 *     #include <lovage/task.h>
 *
 *     static lovage_status
 *     add(lovage_task *t)
 *     {
 *         int64_t x, y;
 *
 *         if (lovage_arg_int(t, 0, "x", &x) != LOVAGE_OK ||
 *             lovage_arg_int(t, 1, "y", &y) != LOVAGE_OK)
 *             return LOVAGE_FAILED;
 *         return lovage_return(t, lovage_int(x + y));
 *     }
 *
 *     LOVAGE_PLUGIN int
 *     lovage_plugin_init(lovage_registry *r)
 *     {
 *         const lovage_task_def def = {.size = sizeof(def), .name = "demo.add",
 *                                      .run = add, .params = 2};
 *         return lovage_register(r, &def);
 *     }
 *
 * Build: cc -fPIC -shared $(pkg-config --cflags lovage) -o demo.so demo.c
 * Run:   lovage worker --include ./demo.so
 *
 * Rules.  Strings are UTF-8 and NUL-terminated.  What a function returns as
 * `const` belongs to the task and lives until it ends.  A lovage_value * that
 * you made is yours until you give it to a function whose comment says that it
 * consumes it; it is consumed on failure as well.  Times are in seconds
 * (double).  A task is used only on the thread that runs it.  A structure's
 * first member is its size: new members are only added at the end. */
#ifndef LOVAGE_TASK_H
#define LOVAGE_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOVAGE_API    __attribute__((visibility("default")))
#define LOVAGE_PLUGIN LOVAGE_API

typedef struct lovage_task lovage_task;           /* one execution of a task */
typedef struct lovage_value lovage_value;         /* a JSON value */
typedef struct lovage_signature lovage_signature; /* a task to be sent */
typedef struct lovage_registry lovage_registry;

typedef enum {
    LOVAGE_OK = 0,
    LOVAGE_FAILED,  /* an exception is set: return it from the task */
    LOVAGE_PENDING, /* an async task: the outcome comes later */
    LOVAGE_ENDED    /* retry, replace, reject or ignore is set: return it */
} lovage_status;

/* ---- JSON values ---- */

typedef enum {
    LOVAGE_NULL,
    LOVAGE_BOOL,
    LOVAGE_INT, /* kept apart from DOUBLE, as in Python */
    LOVAGE_DOUBLE,
    LOVAGE_STRING,
    LOVAGE_ARRAY,
    LOVAGE_OBJECT
} lovage_type;

/* New values are the caller's; NULL without memory (which every consumer
 * accepts and turns into a failure). */
LOVAGE_API lovage_value *lovage_null(void);
LOVAGE_API lovage_value *lovage_bool(bool b);
LOVAGE_API lovage_value *lovage_int(int64_t i);
LOVAGE_API lovage_value *lovage_double(double d);
LOVAGE_API lovage_value *lovage_string(const char *s);
LOVAGE_API lovage_value *lovage_string_n(const char *s, size_t n);
LOVAGE_API lovage_value *lovage_array(void);
LOVAGE_API lovage_value *lovage_object(void);
LOVAGE_API lovage_value *lovage_parse(const char *json); /* NULL: not JSON */
LOVAGE_API lovage_value *lovage_copy(const lovage_value *v);
LOVAGE_API void lovage_free(lovage_value *v); /* NULL is fine */

/* Both consume v. */
LOVAGE_API lovage_status lovage_push(lovage_value *array, lovage_value *v);
LOVAGE_API lovage_status lovage_put(lovage_value *object, const char *key,
                                    lovage_value *v);

LOVAGE_API lovage_type lovage_typeof(const lovage_value *v);
LOVAGE_API bool lovage_as_bool(const lovage_value *v);   /* false if no bool */
LOVAGE_API int64_t lovage_as_int(const lovage_value *v); /* 0 if no int */
LOVAGE_API double lovage_as_double(const lovage_value *v); /* of an int too */
LOVAGE_API const char *lovage_as_string(const lovage_value *v, size_t *len);
LOVAGE_API size_t lovage_length(const lovage_value *v);
/* Borrowed: dies with its container.  NULL: no such element. */
LOVAGE_API const lovage_value *lovage_at(const lovage_value *array, size_t i);
LOVAGE_API const lovage_value *lovage_member(const lovage_value *object,
                                             const char *key);
LOVAGE_API const char *lovage_key(const lovage_value *object, size_t i);
/* JSON text, malloc'd: free() it. */
LOVAGE_API char *lovage_text(const lovage_value *v);

/* ---- registering ---- */

typedef enum {
    LOVAGE_BLOCKING, /* anything: runs in an executor process, one at a time */
    LOVAGE_INLINE,   /* pure and of microseconds: runs on the node's loop */
    LOVAGE_ASYNC     /* never blocks: runs on the loop, ends by callback */
} lovage_kind;

typedef lovage_status lovage_run_fn(lovage_task *t);

typedef struct lovage_task_def {
    size_t size;      /* sizeof(lovage_task_def) */
    const char *name; /* the Celery name, e.g. "proj.tasks.add" */
    lovage_kind kind;
    lovage_run_fn *run;
    void *data; /* yours: lovage_data() */
    /* Positional parameters, counted as Celery counts an errback's: one that
     * takes exactly one gets the failed task's id.  -1: any number. */
    int params;
    /* As many names, then NULL: calls are checked as in Python.  Or NULL. */
    const char *const *param_names;
    int required; /* of them; the others have defaults */

    /* Options; 0 or NULL: Celery's default. */
    int max_retries;            /* 0: 3; -1: without end */
    double default_retry_delay; /* s; 0: 180 */
    double time_limit, soft_time_limit;
    double expires;
    bool ignore_result, track_started;
    int acks_late; /* 0: the setting; 1: yes; -1: no */
    int reject_on_worker_lost;
    const char *rate_limit; /* "10/s" */
    /* Exception types that retry by themselves; NULL-terminated list. */
    const char *const *autoretry_for;
    bool retry_backoff;        /* exponential, from retry_backoff_base */
    double retry_backoff_base; /* s; 0: 1 */
    double retry_backoff_max;  /* s; 0: 600 */
    bool retry_no_jitter;
} lovage_task_def;

/* Called once in each process that loads the plugin.  Non-zero: the worker
 * refuses to start. */
LOVAGE_PLUGIN int lovage_plugin_init(lovage_registry *r);

/* def is copied; the strings it points to must live on.  0: registered. */
LOVAGE_API int lovage_register(lovage_registry *r, const lovage_task_def *def);

/* ---- reading the call ---- */

LOVAGE_API void *lovage_data(lovage_task *t);
LOVAGE_API const lovage_value *lovage_args(lovage_task *t);
LOVAGE_API const lovage_value *lovage_kwargs(lovage_task *t);

/* The argument at position i or of that name; NULL when absent. */
LOVAGE_API const lovage_value *lovage_arg(lovage_task *t, size_t i,
                                          const char *name);
/* The same with a type.  LOVAGE_FAILED: a TypeError with Python's wording is
 * set.  *_or give dflt when it is absent or null. */
LOVAGE_API lovage_status lovage_arg_int(lovage_task *t, size_t i,
                                        const char *name, int64_t *out);
LOVAGE_API lovage_status lovage_arg_double(lovage_task *t, size_t i,
                                           const char *name, double *out);
LOVAGE_API lovage_status lovage_arg_string(lovage_task *t, size_t i,
                                           const char *name, const char **out);
LOVAGE_API lovage_status lovage_arg_int_or(lovage_task *t, size_t i,
                                           const char *name, int64_t dflt,
                                           int64_t *out);

/* A field of Celery's task.request: "id", "task", "root_id", "parent_id",
 * "group", "group_index", "retries", "eta", "expires", "timelimit", "hostname",
 * "delivery_info", "reply_to", "correlation_id", "chord", "chain", "callbacks",
 * "errbacks", "origin", "argsrepr", "kwargsrepr", "ignore_result", "stamps",
 * "stamped_headers", "headers" (the custom ones), "properties".  Borrowed;
 * NULL: no such field or null. */
LOVAGE_API const lovage_value *lovage_request(lovage_task *t,
                                              const char *field);
LOVAGE_API const char *lovage_id(lovage_task *t);
LOVAGE_API int64_t lovage_retries(lovage_task *t);

/* ---- ending ---- */

/* All of these end the task: return what they return. */

LOVAGE_API lovage_status lovage_return(lovage_task *t,
                                       lovage_value *result); /* consumed */
/* type and module name a Python exception class ("ValueError", "builtins");
 * args is an array (consumed; NULL: none). */
LOVAGE_API lovage_status lovage_raise(lovage_task *t, const char *type,
                                      const char *module, lovage_value *args);
/* The common case: one printf-formatted text, module "builtins". */
LOVAGE_API lovage_status lovage_raisef(lovage_task *t, const char *type,
                                       const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds traceback text to the exception that is set. */
LOVAGE_API void lovage_traceback(lovage_task *t, const char *text);

typedef struct lovage_retry_opts {
    size_t size;
    double countdown; /* s; < 0: default_retry_delay */
    int max_retries;  /* 0: the task's; -1: without end */
    const char *exc_type, *exc_module, *exc_text; /* why; NULL: none */
} lovage_retry_opts;
/* Publishes the task again (same id, retries + 1).  Over max_retries it raises
 * the given exception, else MaxRetriesExceededError.  NULL: all defaults. */
LOVAGE_API lovage_status lovage_retry(lovage_task *t,
                                      const lovage_retry_opts *o);
LOVAGE_API lovage_status lovage_reject(lovage_task *t, bool requeue);
LOVAGE_API lovage_status lovage_ignore(lovage_task *t);
/* Replaces this task by sig, which keeps its id and place (consumed). */
LOVAGE_API lovage_status lovage_replace(lovage_task *t, lovage_signature *sig);

/* ---- while it runs ---- */

/* Stores a custom state ("PROGRESS") with a meta value (consumed). */
LOVAGE_API lovage_status lovage_update_state(lovage_task *t, const char *state,
                                             lovage_value *meta);
/* True once the soft time limit has passed.  A blocked system call is also
 * interrupted (SIGUSR1, EINTR).  End with lovage_raise_soft_limit(). */
LOVAGE_API bool lovage_soft_limit(lovage_task *t);
LOVAGE_API lovage_status lovage_raise_soft_limit(lovage_task *t);
/* Sleeps; returns early, with false, at the soft time limit. */
LOVAGE_API bool lovage_sleep(lovage_task *t, double seconds);

typedef enum {
    LOVAGE_LOG_DEBUG,
    LOVAGE_LOG_INFO,
    LOVAGE_LOG_WARNING,
    LOVAGE_LOG_ERROR
} lovage_log_level;
LOVAGE_API void lovage_log(lovage_task *t, lovage_log_level level,
                           const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- signatures and sending ---- */

/* args (array) and kwargs (object) are consumed; NULL: empty. */
LOVAGE_API lovage_signature *lovage_sig(const char *task, lovage_value *args,
                                        lovage_value *kwargs);
/* Any option of Celery's apply_async by its name: "countdown", "eta",
 * "expires", "queue", "priority", "task_id", "immutable", "ignore_result",
 * "time_limit", "soft_time_limit", "headers", ...  v is consumed. */
LOVAGE_API lovage_status lovage_sig_set(lovage_signature *s, const char *option,
                                        lovage_value *v);
/* Adds a callback or errback (consumed). */
LOVAGE_API lovage_status lovage_sig_link(lovage_signature *s,
                                         lovage_signature *callback);
LOVAGE_API lovage_status lovage_sig_link_error(lovage_signature *s,
                                               lovage_signature *errback);
/* The n signatures are consumed. */
LOVAGE_API lovage_signature *lovage_chain(lovage_signature **steps, size_t n);
LOVAGE_API lovage_signature *lovage_group(lovage_signature **members, size_t n);
LOVAGE_API lovage_signature *lovage_chord(lovage_signature **members, size_t n,
                                          lovage_signature *body);
/* From Celery's own JSON (a signature dict). */
LOVAGE_API lovage_signature *lovage_sig_parse(const char *json);
LOVAGE_API void lovage_sig_free(lovage_signature *s);

/* Sends it as a child of this task (consumed).  *id, if not NULL, gets the new
 * task's id, borrowed.  It is published before the task's outcome is stored; if
 * the broker then refuses it for good, this task has failed. */
LOVAGE_API lovage_status lovage_send(lovage_task *t, lovage_signature *s,
                                     const char **id);

/* ---- async tasks ---- */

/* run() of a LOVAGE_ASYNC task starts something and returns LOVAGE_PENDING.
 * Later, on the loop, one of the ending functions above is called, then
 * lovage_finish() with what it returned; t is gone after that. */
LOVAGE_API void lovage_finish(lovage_task *t, lovage_status st);

typedef void lovage_timer_fn(lovage_task *t, void *arg);
/* Calls fn once, after the given seconds, unless the task has ended before. */
LOVAGE_API lovage_status lovage_timer(lovage_task *t, double seconds,
                                      lovage_timer_fn *fn, void *arg);

typedef struct lovage_http_request {
    size_t size;
    const char *method, *url;
    const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
    const char *body;
    size_t body_len;
    double timeout;      /* s; 0: 60 */
    size_t max_response; /* bytes; 0: 1 MiB */
} lovage_http_request;
typedef struct lovage_http_response {
    int status;        /* 0: no answer; error says why */
    const char *error; /* NULL when there is an answer */
    const char *body;
    size_t body_len;
    const char *content_type; /* may be NULL */
} lovage_http_response;
typedef void lovage_http_fn(lovage_task *t, const lovage_http_response *r,
                            void *arg);
/* On the node's HTTP engine: connections are kept and shared.  fn is called
 * once, unless the task has ended before; r is borrowed. */
LOVAGE_API lovage_status lovage_http(lovage_task *t,
                                     const lovage_http_request *rq,
                                     lovage_http_fn *fn, void *arg);
/* fn is called when the task is to stop early: revoked with terminate, a time
 * limit, a cold shutdown.  It frees what it must; the task then ends without
 * lovage_finish(). */
LOVAGE_API void lovage_on_cancel(lovage_task *t, lovage_timer_fn *fn,
                                 void *arg);

#ifdef __cplusplus
}
#endif

#endif
