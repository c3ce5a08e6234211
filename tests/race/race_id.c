/* SPDX-License-Identifier: Apache-2.0 */
/* Threads never share an id; parsing and
 * maps set themselves up once. */
#include "base/id.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"

enum { THREADS = 4, IDS = 2000 };

static char ids[THREADS][IDS][ID_LEN + 1];

static void *
work(void *arg)
{
    char(*mine)[ID_LEN + 1] = arg;
    struct json_object *v = NULL;
    struct map m;

    map_init(&m);
    for (int i = 0; i < IDS; i++) {
        id_new(mine[i]);
        if (map_put(&m, (struct slice){mine[i], ID_LEN}, mine[i]) != ST_OK)
            abort();
        if (json_parse((struct slice){"[1.5]", 5}, 2, &v, NULL) != ST_OK)
            abort();
        json_object_put(v);
    }
    map_fini(&m);
    return NULL;
}

int
main(void)
{
    pthread_t t[THREADS];
    struct map all;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, work, ids[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);

    map_init(&all);
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < IDS; j++)
            if (map_put(&all, (struct slice){ids[i][j], ID_LEN}, ids[i][j]) !=
                ST_OK)
                abort();
    if (all.count == THREADS * IDS) {
        map_fini(&all);
        return 0;
    }
    puts("race_id: an id was given out twice");
    return 1;
}
