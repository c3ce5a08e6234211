/* SPDX-License-Identifier: Apache-2.0 */
/* ISO 8601 times as Celery reads and writes them.  Reads what Python's
 * dateutil.isoparse reads: calendar, week and ordinal dates, extended or basic
 * form; computes on the proleptic Gregorian calendar, years 1 to 9999. */
#include "protocol/iso8601.h"

#include <stdio.h>

enum {
    DAY_S = 86400,
    SHOWN = 64 /* bytes of a bad text that an error shows */
};
static const int64_t us = 1000000;

struct cursor {
    const char *p, *end;
};

/* Exactly n digits; false and nothing consumed otherwise. */
static bool
digits(struct cursor *c, int n, int *out)
{
    int v = 0;

    if (c->end - c->p < n)
        return false;
    for (int i = 0; i < n; i++) {
        if (c->p[i] < '0' || c->p[i] > '9')
            return false;
        v = v * 10 + (c->p[i] - '0');
    }
    c->p += n;
    *out = v;
    return true;
}

static bool
skip(struct cursor *c, char ch)
{
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

static bool
is_leap(int y)
{
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

static int
days_in_month(int y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return m == 2 && is_leap(y) ? 29 : days[m - 1];
}

/* Days since 1970-01-01 (H. Hinnant's days_from_civil). */
static int64_t
days_from_civil(int64_t y, int m, int d)
{
    int64_t era, yoe, doy;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void
civil_from_days(int64_t days, int *y, int *m, int *d)
{
    int64_t era, doe, yoe, doy, mp;

    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    doe = days - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = (int)(yoe + era * 400 + (*m <= 2));
}

/* "W01-1", "W011", "W01": ISO weeks start on Monday, week 1 holds January 4. */
static bool
week_date(struct cursor *c, int y, bool dashes, int64_t *days)
{
    int week, day = 1;
    int64_t jan4 = days_from_civil(y, 1, 4);

    if (!digits(c, 2, &week) || week < 1 || week > 53)
        return false;
    if (dashes ? skip(c, '-') : c->p != c->end && *c->p >= '0' && *c->p <= '9')
        if (!digits(c, 1, &day) || day < 1 || day > 7)
            return false;
    /* 1970-01-01 was a Thursday. */
    *days = jan4 - ((jan4 % 7 + 7 + 3) % 7) + (week - 1) * 7 + day - 1;
    return true;
}

/* How many digits follow. */
static int
run(const struct cursor *c)
{
    int n = 0;

    while (c->end - c->p > n && c->p[n] >= '0' && c->p[n] <= '9')
        n++;
    return n;
}

static bool
month_day(struct cursor *c, int y, bool dashes, int64_t *days)
{
    int m = 1, d = 1;

    if (!digits(c, 2, &m) || m < 1 || m > 12)
        return false;
    if (dashes ? skip(c, '-') : true)
        if (!digits(c, 2, &d) || d < 1 || d > days_in_month(y, m))
            return false;
    *days = days_from_civil(y, m, d);
    return true;
}

static bool
read_date(struct cursor *c, int64_t *days)
{
    int y, doy;
    bool dashes;

    if (!digits(c, 4, &y) || y < 1)
        return false;
    *days = days_from_civil(y, 1, 1);
    dashes = skip(c, '-');
    if (skip(c, 'W'))
        return week_date(c, y, dashes, days);
    if (run(c) == 0)
        return !dashes; /* a year alone */
    if (run(c) == 3) {
        if (!digits(c, 3, &doy) || doy < 1 || doy > 365 + is_leap(y))
            return false;
        *days += doy - 1;
        return true;
    }
    return month_day(c, y, dashes, days);
}

/* ".5", ",123456789": what is beyond microseconds is cut. */
static bool
read_fraction(struct cursor *c, int64_t *out)
{
    int64_t scale = us / 10;
    int digit;

    if (!skip(c, '.') && !skip(c, ','))
        return true;
    if (run(c) == 0)
        return false;
    while (digits(c, 1, &digit)) {
        *out += digit * scale;
        scale /= 10;
    }
    return true;
}

static bool
read_time(struct cursor *c, int64_t *out)
{
    int h, m = 0, s = 0;
    int64_t fraction = 0;
    bool colons;

    if (!digits(c, 2, &h))
        return false;
    colons = skip(c, ':');
    if (colons || run(c) > 0) {
        if (!digits(c, 2, &m))
            return false;
        if (colons ? skip(c, ':') : run(c) > 0)
            if (!digits(c, 2, &s) || !read_fraction(c, &fraction))
                return false;
    }
    if (m > 59 || s > 59 || h > 24 || (h == 24 && (m || s || fraction)))
        return false;
    *out = (h * 3600 + m * 60 + s) * us + fraction;
    return true;
}

static bool
read_zone(struct cursor *c, int *seconds)
{
    int h, m = 0, sign;

    if (c->p == c->end || skip(c, 'Z') || skip(c, 'z'))
        return c->p == c->end;
    sign = skip(c, '-') ? -1 : 1;
    if (sign > 0 && !skip(c, '+'))
        return false;
    if (!digits(c, 2, &h))
        return false;
    if (skip(c, ':') || run(c) > 0)
        if (!digits(c, 2, &m))
            return false;
    if (h > 23 || m > 59 || c->p != c->end)
        return false;
    *seconds = sign * (h * 3600 + m * 60);
    return true;
}

enum status
iso8601_parse(struct slice text, int64_t *unix_us, struct error *err)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    int64_t days, time = 0;
    int zone = 0;

    if (!read_date(&c, &days))
        goto bad;
    if (c.p != c.end) {
        if (!skip(&c, 'T') && !skip(&c, 't') && !skip(&c, ' '))
            goto bad;
        if (!read_time(&c, &time) || !read_zone(&c, &zone))
            goto bad;
    }
    *unix_us = (days * DAY_S - zone) * us + time;
    return ST_OK;
bad:
    return error_set(err, ST_PROTO, "not an ISO 8601 time: '%.*s'",
                     (int)(text.len < SHOWN ? text.len : SHOWN), text.ptr);
}

static char *
put(char *p, int v, int width, char after)
{
    for (int i = width - 1; i >= 0; i--, v /= 10)
        p[i] = (char)('0' + v % 10);
    p[width] = after;
    return p + width + 1;
}

const char *
iso8601_format(int64_t unix_us, char out[ISO8601_MAX])
{
    /* Python has no other years. */
    const int64_t lo = days_from_civil(1, 1, 1) * DAY_S * us;
    const int64_t hi = days_from_civil(10000, 1, 1) * DAY_S * us - 1;
    int64_t days, rest;
    int y, m, d, s;
    char *p = out;

    unix_us = unix_us < lo ? lo : unix_us > hi ? hi : unix_us;
    days = unix_us / (DAY_S * us);
    rest = unix_us % (DAY_S * us);
    if (rest < 0) {
        days--;
        rest += DAY_S * us;
    }
    civil_from_days(days, &y, &m, &d);
    s = (int)(rest / us);
    p = put(p, y, 4, '-');
    p = put(p, m, 2, '-');
    p = put(p, d, 2, 'T');
    p = put(p, s / 3600, 2, ':');
    p = put(p, s / 60 % 60, 2, ':');
    p = put(p, s % 60, 2, '.');
    p = put(p, (int)(rest % us), 6, '+');
    snprintf(p, 6, "00:00");
    return out;
}
