#ifndef PROTOCOL_PICKLE_STACK_H
#define PROTOCOL_PICKLE_STACK_H

#include "protocol/pickle.h"

/* The stack and the memo of the reader of pickles (pickle_decode.c), and the
 * containers that are built on the stack.
 *
 * What the memo gives back is a copy, so that no value is ever part of itself,
 * and a budget bounds what copies may come to.  A list or dict that is read
 * back from the memo while it is still being filled would have to hold itself:
 * it is refused when it is filled further. */
struct pickle_item {
    struct json_object *v; /* owned; NULL: None */
    bool is_mark;
    unsigned depth; /* of nesting, with itself */
    size_t memo;    /* where it is kept, plus 1; 0: nowhere.  Of a mark: the
                       mark below it */
};

struct pickle_entry {
    struct json_object *v; /* owned */
    bool set, given;
};

struct pickle_stack {
    struct pickle_item *items;
    size_t n, cap;
    size_t mark; /* the number of the last mark, plus 1; 0: none */
    struct pickle_entry *memo;
    size_t memo_n, memo_cap, memo_max;
    size_t budget; /* bytes that copies and long integers may still come to */
    struct error *err;
};

/* of: the size of the pickle. */
void pickle_stack_init(struct pickle_stack *s, size_t of, struct error *err);
void pickle_stack_fini(struct pickle_stack *s);

/* Sets ST_PROTO. */
enum status pickle_bad(struct pickle_stack *s, const char *what);
/* ST_TOOBIG when the budget is used up. */
enum status pickle_spend(struct pickle_stack *s, size_t bytes);

/* v is consumed; pickle_push_new: NULL is want of memory, not None. */
enum status pickle_push(struct pickle_stack *s, struct json_object *v,
                        unsigned depth);
enum status pickle_push_new(struct pickle_stack *s, struct json_object *v,
                            unsigned depth);
/* The same for a value of unknown size, which costs its walk. */
enum status pickle_push_any(struct pickle_stack *s, struct json_object *v);
enum status pickle_push_mark(struct pickle_stack *s);

/* The item n below the top; NULL: a mark, or nothing. */
struct pickle_item *pickle_peek(struct pickle_stack *s, size_t n);
void pickle_drop(struct pickle_stack *s); /* the top item, no mark */

enum status pickle_keep(struct pickle_stack *s, uint64_t at);
enum status pickle_recall(struct pickle_stack *s, uint64_t at);

/* The n items on top, or those above the last mark, become an array. */
enum status pickle_pack(struct pickle_stack *s, size_t n);
enum status pickle_pack_marked(struct pickle_stack *s);
/* What is above the last mark (else the item or pair on top) goes into the
 * container below it. */
enum status pickle_fill_list(struct pickle_stack *s, bool marked);
enum status pickle_fill_dict(struct pickle_stack *s, bool marked);
enum status pickle_dict_of_marked(struct pickle_stack *s);

#endif
