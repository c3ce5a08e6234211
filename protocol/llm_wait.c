/* SPDX-License-Identifier: Apache-2.0 */
/* How long a provider asks us to wait: all the ways in which they write it. */
#include <string.h>
#include <time.h>

#include "protocol/llm_codec.h"

/* Digits with at most one point; strtod would take "inf", "nan" and "0x10".
 * Returns the bytes read, 0: none. */
static size_t
read_number(const char *s, double *out)
{
    double value = 0, scale = 1;
    size_t i = 0, digits = 0;
    bool point = false;

    for (; (s[i] >= '0' && s[i] <= '9') || (s[i] == '.' && !point); i++) {
        if (s[i] == '.') {
            point = true;
            continue;
        }
        digits++;
        if (point)
            scale /= 10;
        value =
            point ? value + scale * (s[i] - '0') : value * 10 + (s[i] - '0');
    }
    *out = value;
    return digits > 0 ? i : 0;
}

/* Milliseconds in one unit of Go's and protobuf's durations. */
static size_t
read_unit(const char *s, double *ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1},   {"us", 1e-3}, {"ns", 1e-6},
                 {"s", 1000}, {"m", 60000}, {"h", 3600000}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = strlen(units[i].name);

        if (strncmp(s, units[i].name, n) == 0) {
            *ms = units[i].ms;
            return n;
        }
    }
    return 0;
}

static int64_t
cut(double ms)
{
    return ms > LLM_WAIT_MAX_MS ? LLM_WAIT_MAX_MS : (int64_t)(ms + 0.5);
}

static int64_t
parse_duration(const char *s)
{
    double sum = 0, value, unit;
    size_t n;

    while (*s != '\0') {
        n = read_number(s, &value);
        if (n == 0)
            return -1;
        s += n;
        n = read_unit(s, &unit);
        if (n == 0) /* a bare number counts seconds, if it stands alone */
            return *s == '\0' && sum == 0 ? cut(value * 1000) : -1;
        s += n;
        sum += value * unit;
    }
    return cut(sum);
}

static int64_t
parse_date(const char *s, int64_t now_unix_ms)
{
    struct tm tm = {0};
    const char *end = strptime(s, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    int64_t ms;

    if (end == NULL || *end != '\0')
        return -1;
    ms = (int64_t)timegm(&tm) * 1000 - now_unix_ms;
    return ms < 0 ? 0 : cut((double)ms);
}

int64_t
llm_wait_parse(struct slice s, int64_t now_unix_ms)
{
    char text[64];

    while (s.len > 0 && s.ptr[0] == ' ') {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && s.ptr[s.len - 1] == ' ')
        s.len--;
    if (s.len == 0 || s.len >= sizeof(text) ||
        memchr(s.ptr, '\0', s.len) != NULL)
        return -1;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    if (text[0] >= '0' && text[0] <= '9')
        return parse_duration(text);
    return parse_date(text, now_unix_ms);
}
