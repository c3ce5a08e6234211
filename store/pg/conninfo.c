/* SPDX-License-Identifier: Apache-2.0 */
/* The connection string and the addresses that its names have. */
#include "store/pg/conninfo.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_KEYS = 64,
    MAX_LIST = 8192 /* bytes of a list of hosts */
};

struct conninfo {
    PQconninfoOption *options; /* owned: libpq's array */
    char *hosts, *ports;       /* comma lists; owned; "" if not given */
    bool resolved;             /* hostaddr was given: nothing to look up */

    /* The attempt: where we are in hosts and ports, and what was found. */
    const char *host_at, *port_at;
    char host[256], port[8];
    struct buf out_hosts, out_addrs, out_ports;
    size_t found;
};

static const char *
option(const struct conninfo *ci, const char *key)
{
    for (const PQconninfoOption *o = ci->options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, key) == 0)
            return o->val;
    return NULL;
}

static char *
option_copy(const struct conninfo *ci, const char *key, const char *env)
{
    const char *v = option(ci, key);

    if (v == NULL || *v == '\0')
        v = getenv(env);
    return strdup(v != NULL ? v : "");
}

enum status
conninfo_new(struct conninfo **out, const char *url, struct error *err)
{
    struct conninfo *ci = calloc(1, sizeof(*ci));
    const char *addr;

    if (ci == NULL)
        return error_set(err, ST_NOMEM, "database: no memory");
    ci->options = PQconninfoParse(url, NULL);
    if (ci->options == NULL) {
        free(ci);
        return error_set(err, ST_INVALID, "database_url is no PostgreSQL URL");
    }
    ci->hosts = option_copy(ci, "host", "PGHOST");
    ci->ports = option_copy(ci, "port", "PGPORT");
    addr = option(ci, "hostaddr");
    ci->resolved = (addr != NULL && *addr != '\0') || getenv("PGHOSTADDR");
    buf_init(&ci->out_hosts, MAX_LIST);
    buf_init(&ci->out_addrs, MAX_LIST);
    buf_init(&ci->out_ports, MAX_LIST);
    if (ci->hosts == NULL || ci->ports == NULL) {
        conninfo_free(ci);
        return error_set(err, ST_NOMEM, "database: no memory");
    }
    *out = ci;
    return ST_OK;
}

void
conninfo_free(struct conninfo *ci)
{
    if (ci == NULL)
        return;
    buf_fini(&ci->out_hosts);
    buf_fini(&ci->out_addrs);
    buf_fini(&ci->out_ports);
    PQconninfoFree(ci->options);
    free(ci->hosts);
    free(ci->ports);
    free(ci);
}

void
conninfo_rewind(struct conninfo *ci)
{
    buf_fini(&ci->out_hosts);
    buf_fini(&ci->out_addrs);
    buf_fini(&ci->out_ports);
    ci->found = 0;
    ci->host_at = ci->resolved ? NULL : ci->hosts;
    ci->port_at = ci->ports;
}

/* Copies the next part of a comma list; *at is NULL after the last one. */
static bool
next_part(const char **at, char *out, size_t size)
{
    size_t len = strcspn(*at, ",");
    bool fits = len < size;

    if (!fits)
        len = 0; /* no host has such a name: as if it had no address */
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += strcspn(*at, ",");
    *at = **at == ',' ? *at + 1 : NULL;
    return fits;
}

/* One more place to try; addr "": a unix socket, or libpq's default. */
static void
add_place(struct conninfo *ci, const char *addr)
{
    const char *comma = ci->found++ > 0 ? "," : "";

    buf_addf(&ci->out_hosts, "%s%s", comma, ci->host);
    buf_addf(&ci->out_addrs, "%s%s", comma, addr);
    buf_addf(&ci->out_ports, "%s%s", comma, ci->port);
}

const char *
conninfo_next_name(struct conninfo *ci, const char **port)
{
    while (ci->host_at != NULL) {
        bool fits = next_part(&ci->host_at, ci->host, sizeof(ci->host));

        /* One port may stand for all hosts: the last one goes on. */
        if (ci->port_at != NULL &&
            !next_part(&ci->port_at, ci->port, sizeof(ci->port)))
            continue;
        if (!fits)
            continue;
        if (*ci->host != '\0' && *ci->host != '/' && *ci->host != '@') {
            *port = *ci->port != '\0' ? ci->port : "5432";
            return ci->host;
        }
        add_place(ci, "");
    }
    return NULL;
}

void
conninfo_add_address(struct conninfo *ci, const struct sockaddr *sa)
{
    char addr[NI_MAXHOST];
    socklen_t len = sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                              : sizeof(struct sockaddr_in);

    if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
        return;
    if (getnameinfo(sa, len, addr, sizeof(addr), NULL, 0, NI_NUMERICHOST) == 0)
        add_place(ci, addr);
}

struct keys {
    const char *names[MAX_KEYS], *values[MAX_KEYS];
    int n;
};

static void
put(struct keys *k, const char *name, const char *value)
{
    if (value == NULL || k->n == MAX_KEYS - 1)
        return;
    k->names[k->n] = name;
    k->values[k->n++] = value;
}

/* What the user did not set.  A peer that vanished is found within half a
 * minute; GSS is off because its library looks names up by itself. */
static void
put_defaults(const struct conninfo *ci, struct keys *k)
{
    static const char *const dflt[][2] = {
        {"fallback_application_name", "lovage"},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "15000"},
        {"gssencmode", "disable"},
    };

    for (size_t i = 0; i < sizeof(dflt) / sizeof(*dflt); i++) {
        const char *set = option(ci, dflt[i][0]);

        if (set == NULL || *set == '\0')
            put(k, dflt[i][0], dflt[i][1]);
    }
    put(k, "client_encoding", "UTF8");
}

static bool
is_place(const char *key)
{
    return strcmp(key, "host") == 0 || strcmp(key, "hostaddr") == 0 ||
           strcmp(key, "port") == 0;
}

PGconn *
conninfo_connect(struct conninfo *ci)
{
    struct keys k = {.n = 0};
    char *hosts = NULL, *addrs = NULL, *ports = NULL;
    PGconn *conn = NULL;

    for (const PQconninfoOption *o = ci->options; o->keyword != NULL; o++)
        if ((ci->resolved || !is_place(o->keyword)) &&
            strcmp(o->keyword, "client_encoding") != 0)
            put(&k, o->keyword, o->val);
    put_defaults(ci, &k);
    if (!ci->resolved) {
        if (ci->found == 0 || buf_take(&ci->out_hosts, &hosts, NULL) != ST_OK ||
            buf_take(&ci->out_addrs, &addrs, NULL) != ST_OK ||
            buf_take(&ci->out_ports, &ports, NULL) != ST_OK)
            goto out;
        put(&k, "host", hosts);
        put(&k, "hostaddr", addrs);
        put(&k, "port", ports);
    }
    conn = PQconnectStartParams(k.names, k.values, 0);
out:
    free(hosts);
    free(addrs);
    free(ports);
    return conn;
}
