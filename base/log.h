#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/buf.h"

/* One event, one line on stderr:
 *   2026-11-24T14:40:29.123Z INFO  worker: task done id=... task=... ms=3
 * or, with log_format "json", one object a line.  msg is a constant and is an
 * interface; what varies comes as key=value pairs.  Safe from any thread: one
 * write(2) a line.  A blocked or full stderr drops lines, never blocks work;
 * how many is told in a line of its own later. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL };

/* who: the component ("worker", "api", a node name); copied, cut to 127 bytes.
 * Call it before there are threads.  Until then: INFO, text, "lovage". */
void log_init(enum log_level level, bool json, const char *who);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
enum status log_level_parse(const char *name, enum log_level *out);

/* fmt is "key=%s other=%d", pairs with one blank between them; NULL: none.  No
 * quotes are needed: a value that is empty or holds a blank, a quote, '=' or
 * anything but printable ASCII is written as an ASCII JSON string, so that one
 * event stays one line whatever a peer put into it.  A value above 512 bytes is
 * cut and ends in "..."; pairs that do not fit into 4 KiB are left out.
 * printf's conversions d i u x o c s f e g p with length and precision; flags
 * and widths are ignored.  Preserves errno. */
void log_line(enum log_level level, const char *msg, const char *fmt, ...)
    PRINTF(3, 4);

#define log_debug(...) \
    (log_enabled(LOG_DEBUG) ? log_line(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...) \
    (log_enabled(LOG_INFO) ? log_line(LOG_INFO, __VA_ARGS__) : (void)0)
#define log_warning(...)  log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...)    log_line(LOG_ERROR, __VA_ARGS__)
#define log_critical(...) log_line(LOG_CRITICAL, __VA_ARGS__)

#endif
