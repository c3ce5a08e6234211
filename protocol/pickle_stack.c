/* SPDX-License-Identifier: Apache-2.0 */
/* Where the reader of pickles keeps what it has read. */
#include "protocol/pickle_stack.h"

#include <stdlib.h>

enum {
    STACK_MAX = 1 << 22,
    KEY_MAX = 64 * 1024,
    NODE_COST = 32,
    COPIES_MIN = 64 * 1024 * 1024, /* bytes, besides: */
    COPIES_FACTOR = 16             /* times the pickle's size */
};

static enum status
nomem(struct pickle_stack *s)
{
    return error_set(s->err, ST_NOMEM, "pickle: no memory");
}

void
pickle_stack_init(struct pickle_stack *s, size_t of, struct error *err)
{
    *s = (struct pickle_stack){
        .memo_max = of,
        .budget = COPIES_MIN + COPIES_FACTOR * of,
        .err = err,
    };
}

void
pickle_stack_fini(struct pickle_stack *s)
{
    for (size_t i = 0; i < s->n; i++)
        json_object_put(s->items[i].v);
    for (size_t i = 0; i < s->memo_cap; i++)
        json_object_put(s->memo[i].v);
    free(s->items);
    free(s->memo);
}

enum status
pickle_bad(struct pickle_stack *s, const char *what)
{
    return error_set(s->err, ST_PROTO, "pickle: %s", what);
}

enum status
pickle_spend(struct pickle_stack *s, size_t bytes)
{
    if (bytes > s->budget)
        return error_set(s->err, ST_TOOBIG,
                         "pickle: it unfolds to far more than its size");
    s->budget -= bytes;
    return ST_OK;
}

/* ---- depth and size ---- */

struct extent {
    size_t bytes;
    unsigned depth;
};

static void
add_extent(struct extent *to, struct extent of)
{
    to->bytes += of.bytes;
    if (of.depth + 1 > to->depth)
        to->depth = of.depth + 1;
}

static struct extent
extent_of(struct json_object *v)
{
    struct extent e = {.bytes = NODE_COST};
    struct json_object_iter it;

    switch (json_object_get_type(v)) {
    case json_type_string:
        e.bytes += (size_t)json_object_get_string_len(v);
        break;
    case json_type_array:
        e.depth = 1;
        for (size_t i = 0; i < json_object_array_length(v); i++)
            add_extent(&e, extent_of(json_object_array_get_idx(v, i)));
        break;
    case json_type_object:
        e.depth = 1;
        json_object_object_foreachC(v, it)
        {
            e.bytes += strlen(it.key);
            add_extent(&e, extent_of(it.val));
        }
        break;
    default:
        break;
    }
    return e;
}

/* to holds from's value from now on. */
static enum status
deepen(struct pickle_stack *s, struct pickle_item *to,
       const struct pickle_item *from)
{
    if (from->depth + 1 > to->depth)
        to->depth = from->depth + 1;
    return to->depth <= JSON_DEPTH
               ? ST_OK
               : error_set(s->err, ST_TOOBIG, "pickle: nested over %d levels",
                           JSON_DEPTH);
}

/* ---- the stack ---- */

/* item.v is consumed. */
static enum status
push_item(struct pickle_stack *s, struct pickle_item item)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        struct pickle_item *more = NULL;

        if (s->n < STACK_MAX)
            more = realloc(s->items, cap * sizeof(*more));
        if (more == NULL) {
            json_object_put(item.v);
            return s->n < STACK_MAX ? nomem(s)
                                    : pickle_bad(s, "too much at a time");
        }
        s->items = more;
        s->cap = cap;
    }
    s->items[s->n++] = item;
    return ST_OK;
}

enum status
pickle_push(struct pickle_stack *s, struct json_object *v, unsigned depth)
{
    return push_item(s, (struct pickle_item){.v = v, .depth = depth});
}

enum status
pickle_push_new(struct pickle_stack *s, struct json_object *v, unsigned depth)
{
    return v != NULL ? pickle_push(s, v, depth) : nomem(s);
}

enum status
pickle_push_any(struct pickle_stack *s, struct json_object *v)
{
    struct extent e = extent_of(v);
    enum status st = pickle_spend(s, e.bytes);

    if (st == ST_OK)
        return pickle_push(s, v, e.depth);
    json_object_put(v);
    return st;
}

enum status
pickle_push_mark(struct pickle_stack *s)
{
    struct pickle_item mark = {.is_mark = true, .memo = s->mark};
    enum status st = push_item(s, mark);

    if (st == ST_OK)
        s->mark = s->n;
    return st;
}

struct pickle_item *
pickle_peek(struct pickle_stack *s, size_t n)
{
    struct pickle_item *i = s->n > n ? &s->items[s->n - 1 - n] : NULL;

    return i != NULL && !i->is_mark ? i : NULL;
}

void
pickle_drop(struct pickle_stack *s)
{
    json_object_put(s->items[--s->n].v);
}

/* The mark, which is on top. */
static void
drop_mark(struct pickle_stack *s)
{
    s->mark = s->items[--s->n].memo;
}

static void
drop_to(struct pickle_stack *s, size_t n)
{
    while (s->n > n)
        pickle_drop(s);
}

/* ---- the memo ---- */

enum status
pickle_keep(struct pickle_stack *s, uint64_t at)
{
    struct pickle_item *i = pickle_peek(s, 0);
    struct pickle_entry *e;

    /* A pickle has no more entries than bytes. */
    if (i == NULL || at >= s->memo_max)
        return pickle_bad(s, "a memo that makes no sense");
    if (at >= s->memo_cap) {
        size_t cap = s->memo_cap * 2 > at ? s->memo_cap * 2 : (size_t)at + 64;

        e = realloc(s->memo, cap * sizeof(*e));
        if (e == NULL)
            return nomem(s);
        memset(e + s->memo_cap, 0, (cap - s->memo_cap) * sizeof(*e));
        s->memo = e;
        s->memo_cap = cap;
    }
    e = &s->memo[at];
    s->memo_n += !e->set;
    json_object_put(e->v);
    *e = (struct pickle_entry){.v = json_object_get(i->v), .set = true};
    i->memo = (size_t)at + 1;
    return ST_OK;
}

enum status
pickle_recall(struct pickle_stack *s, uint64_t at)
{
    struct json_object *v;
    struct extent e;
    enum status st;

    if (at >= s->memo_cap || !s->memo[at].set)
        return pickle_bad(s, "a memo that makes no sense");
    v = s->memo[at].v;
    s->memo[at].given = true;
    e = extent_of(v);
    st = pickle_spend(s, e.bytes);
    if (st != ST_OK)
        return st;
    if (v == NULL)
        return pickle_push(s, NULL, 0);
    return pickle_push_new(s, e.depth > 0 ? json_copy(v) : json_object_get(v),
                           e.depth);
}

/* May the container be filled? */
static enum status
check_open(struct pickle_stack *s, const struct pickle_item *i,
           enum json_type type)
{
    if (i->is_mark || !json_object_is_type(i->v, type))
        return pickle_bad(s, "items for no container");
    if (i->memo > 0 && s->memo[i->memo - 1].given)
        return pickle_bad(s, "a value that contains itself is refused");
    return ST_OK;
}

/* ---- sequences ---- */

/* Moves the items from number at on into to, which is none of them. */
static enum status
append_from(struct pickle_stack *s, struct pickle_item *to, size_t at)
{
    enum status st = ST_OK;

    for (size_t k = at; k < s->n && st == ST_OK; k++) {
        struct pickle_item *i = &s->items[k];

        if (i->is_mark)
            return pickle_bad(s, "a mark in a container");
        st = deepen(s, to, i);
        if (st == ST_OK && json_object_array_add(to->v, i->v) != 0)
            st = nomem(s);
        else if (st == ST_OK)
            i->v = NULL; /* the container's now */
    }
    if (st == ST_OK)
        drop_to(s, at);
    return st;
}

/* The items from number at on become an array, which *packed gets. */
static enum status
pack_from(struct pickle_stack *s, size_t at, struct pickle_item *packed)
{
    enum status st;

    *packed =
        (struct pickle_item){.v = json_object_new_array_ext(4), .depth = 1};
    st = packed->v != NULL ? append_from(s, packed, at) : nomem(s);
    if (st != ST_OK)
        json_object_put(packed->v);
    return st;
}

enum status
pickle_pack(struct pickle_stack *s, size_t n)
{
    struct pickle_item packed;
    enum status st;

    if (s->n < n || s->mark > s->n - n)
        return pickle_bad(s, "a tuple of too little");
    st = pack_from(s, s->n - n, &packed);
    return st == ST_OK ? push_item(s, packed) : st;
}

enum status
pickle_pack_marked(struct pickle_stack *s)
{
    struct pickle_item packed;
    enum status st;

    if (s->mark == 0)
        return pickle_bad(s, "no mark");
    st = pack_from(s, s->mark, &packed);
    if (st != ST_OK)
        return st;
    drop_mark(s);
    return push_item(s, packed);
}

enum status
pickle_fill_list(struct pickle_stack *s, bool marked)
{
    size_t at = marked ? s->mark : s->n > 0 ? s->n - 1 : 0;
    size_t below = marked && at > 0 ? at - 1 : at;
    enum status st;

    if (below == 0)
        return pickle_bad(s, "items for no container");
    st = check_open(s, &s->items[below - 1], json_type_array);
    if (st == ST_OK)
        st = append_from(s, &s->items[below - 1], at);
    if (st == ST_OK && marked)
        drop_mark(s);
    return st;
}

/* ---- dicts ---- */

/* What json.dumps() makes of a key. */
static enum status
key_text(struct pickle_stack *s, struct json_object *key, struct buf *out)
{
    struct slice text = json_str(key);

    if (json_object_is_type(key, json_type_array) ||
        json_object_is_type(key, json_type_object))
        return pickle_bad(s, "a key that JSON has not");
    if (text.ptr != NULL)
        buf_add(out, text);
    else
        json_add(out, key);
    if (!out->failed && out->len > 0 &&
        memchr(out->data, '\0', out->len) != NULL)
        return pickle_bad(s, "a key that JSON has not");
    buf_add(out, (struct slice){"", 1});
    return out->failed ? pickle_bad(s, "a key that is too long") : ST_OK;
}

static enum status
set_item(struct pickle_stack *s, struct pickle_item *to,
         struct pickle_item *key, struct pickle_item *value)
{
    struct buf text;
    enum status st;

    if (key->is_mark || value->is_mark)
        return pickle_bad(s, "a mark in a dict");
    buf_init(&text, KEY_MAX);
    st = deepen(s, to, value);
    if (st == ST_OK)
        st = key_text(s, key->v, &text);
    if (st == ST_OK && json_object_object_add(to->v, text.data, value->v) != 0)
        st = nomem(s);
    else if (st == ST_OK)
        value->v = NULL;
    buf_fini(&text);
    return st;
}

/* Keys and values, from number at on. */
static enum status
set_from(struct pickle_stack *s, struct pickle_item *to, size_t at)
{
    enum status st = ST_OK;

    if ((s->n - at) % 2 != 0)
        return pickle_bad(s, "a key without a value");
    for (size_t k = at; k < s->n && st == ST_OK; k += 2)
        st = set_item(s, to, &s->items[k], &s->items[k + 1]);
    if (st == ST_OK)
        drop_to(s, at);
    return st;
}

enum status
pickle_fill_dict(struct pickle_stack *s, bool marked)
{
    size_t at = marked ? s->mark : s->n > 1 ? s->n - 2 : 0;
    size_t below = marked && at > 0 ? at - 1 : at;
    enum status st;

    if (below == 0)
        return pickle_bad(s, "items for no dict");
    st = check_open(s, &s->items[below - 1], json_type_object);
    if (st == ST_OK)
        st = set_from(s, &s->items[below - 1], at);
    if (st == ST_OK && marked)
        drop_mark(s);
    return st;
}

enum status
pickle_dict_of_marked(struct pickle_stack *s)
{
    struct pickle_item dict = {.v = json_object_new_object(), .depth = 1};
    enum status st = s->mark > 0 ? ST_OK : pickle_bad(s, "no mark");

    if (st == ST_OK && dict.v == NULL)
        st = nomem(s);
    if (st == ST_OK)
        st = set_from(s, &dict, s->mark);
    if (st != ST_OK) {
        json_object_put(dict.v);
        return st;
    }
    drop_mark(s);
    return push_item(s, dict);
}
