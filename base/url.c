/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of services: brokers, backends, databases, LLM endpoints. */
#include "base/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char scheme_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";

static int
hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

/* Decodes %XX in place, as Python's unquote: what is no escape stays.  False
 * for %00, which no C string can hold. */
static bool
decode(char *s)
{
    char *to = s;
    int c;

    for (; *s != '\0'; s++) {
        c = (unsigned char)*s;
        if (c == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
            c = hex(s[1]) * 16 + hex(s[2]);
            if (c == 0)
                return false;
            s += 2;
        }
        *to++ = (char)c;
    }
    *to = '\0';
    return true;
}

/* Cuts s at the first c and returns what follows, or an empty string. */
static char *
cut(char *s, char c)
{
    char *p = strchr(s, c);

    if (p == NULL)
        return s + strlen(s);
    *p = '\0';
    return p + 1;
}

/* Cuts the scheme off; NULL if there is none (RFC 3986, 3.1). */
static char *
cut_scheme(char *s)
{
    size_t n = strspn(s, scheme_letters);

    if (n == 0 || strncmp(s + n, "://", 3) != 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (s[i] >= 'A' && s[i] <= 'Z')
            s[i] = (char)(s[i] | 0x20);
    s[n] = '\0';
    return s + n + 3;
}

static bool
parse_port(const char *s, int *port)
{
    long v;
    char *end;

    if (*s == '\0') /* "host:" */
        return true;
    if (strspn(s, "0123456789") != strlen(s))
        return false;
    v = strtol(s, &end, 10);
    *port = (int)v;
    return v >= 1 && v <= 65535;
}

/* s is [user[:password]@]host[:port]. */
static enum status
split_authority(char *s, struct url *u, struct error *err)
{
    char *at =
        strrchr(s, '@'); /* a password may hold one that is not encoded */
    char *host = s, *password, *port;

    if (at != NULL) {
        *at = '\0';
        host = at + 1;
        password = cut(s, ':');
        if (!decode(s) || !decode(password))
            return error_set(err, ST_INVALID, "URL: %%00 in the user part");
        u->user = s;
        u->password = password;
    }
    if (*host == '[') { /* IPv6 */
        host++;
        port = cut(host, ']');
        if (port == host + strlen(host) || (*port != ':' && *port != '\0'))
            return error_set(err, ST_INVALID, "URL: malformed IPv6 host");
        port += *port == ':';
    } else {
        port = cut(host, ':');
    }
    if (!parse_port(port, &u->port))
        return error_set(err, ST_INVALID, "URL: port is not 1 to 65535");
    if (!decode(host))
        return error_set(err, ST_INVALID, "URL: %%00 in the host");
    u->host = host;
    return ST_OK;
}

/* "redis+socket:///run/redis.sock", "socket:///run/redis.sock" */
static bool
is_socket(const char *scheme)
{
    size_t n = strlen(scheme);

    return n >= 6 && strcmp(scheme + n - 6, "socket") == 0 &&
           (n == 6 || scheme[n - 7] == '+');
}

static enum status
split(struct url *u, struct error *err)
{
    char *rest = cut_scheme(u->text), *query, *path;
    enum status st;

    if (rest == NULL)
        return error_set(err, ST_INVALID, "URL: no scheme://");
    u->scheme = u->text;
    cut(rest, '#');
    query = cut(rest, '?');
    u->query = query;
    path = strchr(rest, '/');
    if (path == NULL)
        path = rest + strlen(rest);
    /* The authority needs its NUL where the path has its slash. */
    memmove(rest - 1, rest, (size_t)(path - rest));
    path[-1] = '\0';
    st = split_authority(rest - 1, u, err);
    if (st != ST_OK)
        return st;
    if (is_socket(u->scheme) && (*u->host != '\0' || u->port != 0))
        return error_set(err, ST_INVALID, "URL: a host before a socket path");
    if (!decode(path))
        return error_set(err, ST_INVALID, "URL: %%00 in the path");
    u->path = path;
    return ST_OK;
}

enum status
url_parse(const char *text, struct url *out, struct error *err)
{
    struct url u = {.text = strdup(text),
                    .scheme = "",
                    .user = "",
                    .password = "",
                    .host = "",
                    .path = "",
                    .query = ""};
    enum status st;

    if (u.text == NULL)
        return error_set(err, ST_NOMEM, "URL: out of memory");
    st = split(&u, err);
    if (st != ST_OK) {
        url_fini(&u);
        return st;
    }
    *out = u;
    return ST_OK;
}

void
url_fini(struct url *u)
{
    free(u->text);
    *u = (struct url){.text = NULL};
}

char *
url_query(const struct url *u, const char *name)
{
    const char *p = u->query;
    char *pair, *value;

    for (; *p != '\0'; p += *p == '&') {
        size_t n = strcspn(p, "&");

        pair = strndup(p, n);
        if (pair == NULL)
            return NULL;
        value = cut(pair, '=');
        if (decode(pair) && decode(value) && strcmp(pair, name) == 0) {
            memmove(pair, value, strlen(value) + 1);
            return pair;
        }
        free(pair);
        p += n;
    }
    return NULL;
}

/* The length of "name=" at p if its value is a secret, else 0. */
static size_t
secret_name(const char *p)
{
    static const char *const names[] = {
        "password=", "sslpassword=", "key=", "api_key=", "token="};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncasecmp(p, names[i], strlen(names[i])) == 0)
            return strlen(names[i]);
    return 0;
}

/* Adds parameters (a query, or libpq's "host=x password=y"), secrets starred.
 */
static void
add_parameters(struct buf *b, const char *p)
{
    size_t n;

    for (bool first = true; *p != '\0'; first = false) {
        n = first ? secret_name(p) : 1 + secret_name(p + 1);
        if (n > !first) {
            buf_add(b, (struct slice){p, n});
            buf_add(b, (struct slice){"***", 3});
            p += n;
            p += *p == '\'' ? 1 + strcspn(p + 1, "\'") : strcspn(p, "& ");
            p += *p == '\'';
            continue;
        }
        n = 1 + strcspn(p + 1, "?& ");
        buf_add(b, (struct slice){p, n});
        p += n;
    }
}

/* Does the authority end in a colon and something that is no port? */
static bool
port_is_none(const char *authority, size_t len)
{
    const char *colon = memrchr(authority, ':', len);

    return colon != NULL && strspn(colon + 1, "0123456789]") <
                                (size_t)(authority + len - colon - 1);
}

/* Where the next URL of a list ("amqp://a;amqp://b") begins; NULL: none. */
static const char *
next_url(const char *text)
{
    for (const char *p = text; (p = strchr(p, ';')) != NULL; p++)
        if (strncmp(p + 1 + strspn(p + 1, scheme_letters), "://", 3) == 0)
            return p + 1;
    return NULL;
}

/* Adds one URL, or libpq's words; secrets starred. */
static void
add_redacted(struct buf *b, const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *from = scheme != NULL ? scheme + 3 : text;
    size_t len = scheme != NULL ? strcspn(from, "/?#") : 0;
    const char *at = memrchr(from, '@', len), *colon;

    if (at == NULL && port_is_none(from, len)) /* a raw slash in a password? */
        at = strrchr(from, '@');
    colon = at != NULL ? memchr(from, ':', (size_t)(at - from)) : NULL;
    if (colon != NULL) {
        buf_add(b, (struct slice){text, (size_t)(colon - text)});
        buf_add(b, (struct slice){":***", 4});
        text = at;
    }
    add_parameters(b, text);
}

const char *
url_redacted(const char *text, char *out, size_t size)
{
    size_t n = strlen(text);
    char *copy = strdup(text), *memory = malloc(n * 4 + 1);
    const char *url = copy, *next;
    struct buf b;

    if (copy == NULL || memory == NULL) {
        snprintf(out, size, "***");
        goto out;
    }
    buf_init_fixed(&b, memory, n * 4 + 1); /* each "key=" grows */
    while ((next = next_url(url)) != NULL) {
        copy[next - copy - 1] = '\0';
        add_redacted(&b, url);
        buf_add(&b, (struct slice){";", 1});
        url = next;
    }
    add_redacted(&b, url);
    snprintf(out, size, "%.*s", (int)b.len, b.data);
out:
    free(copy);
    free(memory);
    return out;
}
