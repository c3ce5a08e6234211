#ifndef TESTS_SUPPORT_STREAM_CLIENT_H
#define TESTS_SUPPORT_STREAM_CLIENT_H

#include "base/stream.h"

/* The owner of a stream, for tests: notes what happens to it. */
struct stream_client {
    struct stream *s;
    bool inside; /* in a call of ours: no event may come */
    int connected, lost, pieces;
    struct error why;
    struct buf got;
    bool close_when_connected, close_on_data, close_when_lost;
};

/* Opens; fails the test if that fails. */
void stream_client_open(struct stream_client *c, uv_loop_t *l,
                        const struct stream_opts *opts);
void stream_client_write(struct stream_client *c, struct slice bytes);
void stream_client_close(struct stream_client *c);
void stream_client_fini(struct stream_client *c);

/* Runs the loop until *what is at least n; fails the test after 10 s. */
void stream_loop_until(uv_loop_t *l, const int *what, int n);
void stream_loop_until_size(uv_loop_t *l, const size_t *what, size_t n);

/* Runs the loop for ms. */
void stream_loop_for(uv_loop_t *l, uint64_t ms);

/* Runs the loop to its end and closes it: nothing may be left. */
void stream_loop_end(uv_loop_t *l);

#endif
