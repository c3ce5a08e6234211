/* SPDX-License-Identifier: Apache-2.0 */
/* The log: one event, one line, one write(2).  A line is built on the stack, so
 * that it can be logged that there is no memory.  The pairs' format is
 * read here instead of by printf, because only so is it known where a value
 * begins and ends, and it can be quoted. */
#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

enum {
    MAX_LINE = 4096, /* PIPE_BUF: written at once, or not at all */
    MAX_VALUE = 512, /* six times as much when all of it is escaped */
    MAX_WHO = 128
};

static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR",
                                    "CRITICAL"};

static atomic_int threshold = LOG_INFO;
static atomic_ulong dropped;
static bool as_json;
static char component[MAX_WHO] = "lovage";

/* A value being built. */
struct value {
    struct buf text;
    bool cut;
    bool number; /* nothing but a number: JSON gets it without quotes */
};

static void
add(struct buf *b, const char *s)
{
    buf_add(b, (struct slice){s, strlen(s)});
}

/* Takes what fits. */
static void
add_cut(struct value *v, struct slice s)
{
    size_t room = v->text.max - v->text.len;

    if (s.len > room) {
        s.len = room;
        v->cut = true;
    }
    buf_add(&v->text, s);
}

static uintmax_t
next_unsigned(va_list *ap, int longs)
{
    return longs == 0 ? va_arg(*ap, unsigned) : va_arg(*ap, unsigned long);
}

static intmax_t
next_signed(va_list *ap, int longs)
{
    return longs == 0 ? va_arg(*ap, int) : va_arg(*ap, long);
}

static void
add_real(struct value *v, double d, char type, int precision)
{
    char text[400]; /* the longest %f of a double has 309 digits */
    int n;

    precision = precision < 0 ? 6 : precision > 17 ? 17 : precision;
    if (type == 'f')
        n = snprintf(text, sizeof(text), "%.*f", precision, d);
    else if (type == 'e')
        n = snprintf(text, sizeof(text), "%.*e", precision, d);
    else
        n = snprintf(text, sizeof(text), "%.*g", precision, d);
    add_cut(v, (struct slice){text, (size_t)n});
    v->number = isfinite(d);
}

static void
add_chars(struct value *v, const char *s, int precision)
{
    if (s == NULL)
        s = "";
    add_cut(v,
            (struct slice){s, precision < 0 ? strlen(s)
                                            : strnlen(s, (size_t)precision)});
}

/* Adds one argument. */
static void
convert(struct value *v, char type, int longs, int precision, va_list *ap)
{
    char text[32];
    int n = 0;

    v->number = false;
    switch (type) {
    case 'd':
    case 'i':
        n = snprintf(text, sizeof(text), "%jd", next_signed(ap, longs));
        v->number = true;
        break;
    case 'u':
        n = snprintf(text, sizeof(text), "%ju", next_unsigned(ap, longs));
        v->number = true;
        break;
    case 'x':
        n = snprintf(text, sizeof(text), "%jx", next_unsigned(ap, longs));
        break;
    case 'o':
        n = snprintf(text, sizeof(text), "%jo", next_unsigned(ap, longs));
        break;
    case 'c':
        n = snprintf(text, sizeof(text), "%c", va_arg(*ap, int));
        break;
    case 'p':
        n = snprintf(text, sizeof(text), "%p", va_arg(*ap, void *));
        break;
    case 's':
        add_chars(v, va_arg(*ap, const char *), precision);
        return;
    default:
        add_real(v, va_arg(*ap, double), type, precision);
        return;
    }
    add_cut(v, (struct slice){text, (size_t)n});
}

/* Reads the number at *p, or takes it from the arguments for a star; dflt if
 * there is neither. */
static int
read_int(const char **p, va_list *ap, int dflt)
{
    int n = 0;

    if (**p == '*') {
        ++*p;
        return va_arg(*ap, int);
    }
    if (**p < '0' || **p > '9')
        return dflt;
    for (; **p >= '0' && **p <= '9'; ++*p)
        n = n < 100000 ? n * 10 + (**p - '0') : n;
    return n;
}

/* The conversion at p (past its '%'); returns what follows it. */
static const char *
conversion(struct value *v, const char *p, va_list *ap)
{
    int precision = -1, longs = 0;
    bool alone = v->text.len == 0;

    if (*p == '%') {
        add_cut(v, (struct slice){p, 1});
        return p + 1;
    }
    p += strspn(p, "-+ #0");
    read_int(&p, ap, 0); /* the width */
    if (*p == '.') {
        p++;
        precision = read_int(&p, ap, 0);
    }
    for (; *p != '\0' && strchr("hlzjt", *p) != NULL; p++)
        longs += *p != 'h'; /* all of these are a long on our machines */
    if (*p == '\0')
        return p;
    convert(v, *p, longs, precision, ap);
    v->number = v->number && alone;
    return p + 1;
}

/* Collects the value at p; returns what follows it. */
static const char *
collect(struct value *v, const char *p, va_list *ap)
{
    char end = *p == '"' ? '"' : ' '; /* quotes in fmt are dropped */

    if (end == '"')
        p++;
    while (*p != '\0' && *p != end) {
        if (*p == '%') {
            p = conversion(v, p + 1, ap);
            continue;
        }
        add_cut(v, (struct slice){p++, 1});
        v->number = false;
    }
    if (end == '"' && *p != '\0')
        p++;
    if (v->cut) {
        v->text.len = v->text.max - 3;
        add_cut(v, (struct slice){"...", 3});
    }
    return p;
}

static bool
is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '"' ||
            s.ptr[i] == '\\' || s.ptr[i] == '=')
            return false;
    return s.len > 0;
}

/* Adds the pair, or nothing if there is no room for it. */
static void
add_pair(struct buf *line, struct slice key, const struct value *v)
{
    struct slice text = {v->text.data, v->text.len};
    size_t was = line->len;

    buf_add(line, (struct slice){as_json ? ", " : " ", as_json ? 2 : 1});
    if (as_json) {
        json_add_string(line, key.len > 0 ? key : (struct slice){"detail", 6});
        add(line, ": ");
    } else if (key.len > 0) {
        buf_add(line, key);
        add(line, "=");
    }
    if (as_json ? v->number : is_plain(text))
        buf_add(line, text);
    else
        json_add_string(line, text);
    if (line->failed) {
        line->len = was;
        line->failed = false;
    }
}

static void
add_pairs(struct buf *line, const char *p, va_list *ap)
{
    char memory[MAX_VALUE + 1];

    while (*(p += strspn(p, " ")) != '\0') {
        struct value v = {.cut = false};
        struct slice key = {p, strcspn(p, "=% ")};

        buf_init_fixed(&v.text, memory, sizeof(memory));
        if (p[key.len] == '=')
            p += key.len + 1;
        else
            key.len = 0;
        p = collect(&v, p, ap);
        add_pair(line, key, &v);
    }
}

static void
add_head(struct buf *line, enum log_level level, const char *msg)
{
    int64_t us = clock_unix_us();
    time_t s = (time_t)(us / 1000000);
    char when[32];
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    if (!as_json) {
        buf_addf(line, "%s.%03dZ %-5s %s: %s", when, (int)(us / 1000 % 1000),
                 names[level], component, msg);
        return;
    }
    buf_addf(line,
             "{\"time\": \"%s.%03dZ\", \"level\": \"%s\", \"who\": ", when,
             (int)(us / 1000 % 1000), names[level]);
    json_add_string(line, (struct slice){component, strlen(component)});
    add(line, ", \"msg\": ");
    json_add_string(line, (struct slice){msg, strlen(msg)});
}

/* A pipe that is writable takes PIPE_BUF bytes without blocking. */
static bool
put_line(struct slice line)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&fd, 1, 0) == 1 &&
           write(STDERR_FILENO, line.ptr, line.len) == (ssize_t)line.len;
}

static void
vlog(enum log_level level, const char *msg, const char *fmt, va_list *ap)
{
    char memory[MAX_LINE + 1];
    struct buf line;

    buf_init_fixed(&line, memory, sizeof(memory));
    line.max -= 2; /* for the end */
    add_head(&line, level, msg);
    if (fmt != NULL)
        add_pairs(&line, fmt, ap);
    line.max += 2;
    add(&line, as_json ? "}\n" : "\n");
    if (!put_line((struct slice){line.data, line.len}))
        atomic_fetch_add(&dropped, 1);
}

/* vlog() with the arguments as they are. */
static void PRINTF(3, 4)
    own_line(enum log_level level, const char *msg, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vlog(level, msg, fmt, &ap);
    va_end(ap);
}

void
log_init(enum log_level level, bool json, const char *who)
{
    log_set_level(level);
    as_json = json;
    snprintf(component, sizeof(component), "%s", who);
}

void
log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

bool
log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

enum status
log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(name, names[i]) != 0)
            continue;
        *out = (enum log_level)i;
        return ST_OK;
    }
    return ST_INVALID;
}

void
log_line(enum log_level level, const char *msg, const char *fmt, ...)
{
    int saved = errno;
    unsigned long lost;
    va_list ap;

    if (!log_enabled(level))
        return;
    lost = atomic_exchange(&dropped, 0);
    if (lost > 0)
        own_line(LOG_WARNING, "log lines dropped", "count=%lu", lost);
    va_start(ap, fmt);
    vlog(level, msg, fmt, &ap);
    va_end(ap);
    errno = saved;
}
