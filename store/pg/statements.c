/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL.
 *
 * A batch comes as one array for each column; its rows come back with their id,
 * by which the caller finds the call.  No statement joins two of its own
 * batches: hash joins are off for the session (PG_SET_UP), because a plan made
 * while tasks was empty must never read all of tasks when it is large.  "NOT IN
 * (SELECT ...)" is hashed all the same.
 *
 * Every statement may run twice, since a connection can go after the commit and
 * before the answer: the second time must find that the first one was its own.
 * All times are the database's. */
#include "store/pg/statements.h"

#include <stddef.h>

#define FINAL "('SUCCESS','FAILURE','REVOKED','REJECTED','IGNORED')"
/* These end a lease; any other state is progress and keeps it. */
#define ENDS \
    "('SUCCESS','FAILURE','REVOKED','REJECTED','IGNORED','RETRY','PENDING')"
#define MS(param) param " * interval '1 millisecond'"
#define US(col)   "(extract(epoch FROM " col ") * 1000000)::bigint"
#define DUE(us)                       \
    "CASE WHEN " us " > 0 THEN "      \
    "timestamptz 'epoch' + " us " * " \
    "interval '1 microsecond' ELSE now() END"

/* struct records_row, as answers.c reads it.  big(col): how a large column
 * comes.  (Left alone: strings between macros are cut to pieces.) */
/* clang-format off */
#define ROW(big)                                                           \
    " t.seq, t.id, t.name, t.description, t.task, "                        \
    big("args") ", " big("kwargs") ", t.queue, t.status, "                 \
    big("result") ", t.error, " big("traceback") ", t.worker, t.model, "   \
    "t.retries, t.attempt, t.prompt_tokens, t.completion_tokens, "         \
    "t.total_tokens, " US("t.created_at") ", " US("t.updated_at") ", "     \
    US("t.started_at") ", " US("t.finished_at") " "
/* clang-format on */
#define WHOLE(col) "t." col
/* The stored size first: it is known without unpacking the value. */
#define CAPPED(col)                                     \
    "CASE WHEN pg_column_size(t." col ") <= 65536 AND " \
    "octet_length(t." col "::text) <= 65536 THEN t." col " END"

/* Back to where a claim found it: what a message of this task can start. */
#define UNCLAIMED "CASE WHEN t.retries > 0 THEN 'RETRY' ELSE 'PENDING' END"

#define LOST_TEXT "Worker exited prematurely: signal 9 (SIGKILL)."

/* ---- the session ---- */

#define SET_UP                                                          \
    "SELECT current_setting('transaction_read_only')::boolean, "        \
    "set_config('statement_timeout', $1, false), "                      \
    "set_config('plan_cache_mode', $2, false), "                        \
    "set_config('TimeZone', 'UTC', false), "                            \
    "set_config('idle_in_transaction_session_timeout', '10s', false), " \
    "set_config('enable_seqscan', 'off', false), "                      \
    "set_config('enable_hashjoin', 'off', false), "                     \
    "set_config('enable_mergejoin', 'off', false), "                    \
    "set_config('jit', 'off', false)"

/* ---- the api ---- */

/* Both rows get their numbers first, so that they can be told without joining
 * the two inserts. */
#define SUBMITTED                                                           \
    "WITH n AS MATERIALIZED (SELECT *, nextval('tasks_seq_seq') AS seq, "   \
    "nextval('outbox_outbox_id_seq') AS outbox_id FROM unnest($1::text[], " \
    "$2::text[], $3::text[], $4::text[], $5::json[], $6::json[], "          \
    "$7::text[], $8::text[], $9::text[], $10::bigint[]) AS n(id, name, "    \
    "description, task, args, kwargs, queue, model, message, due)), "
#define SUBMIT_TASKS                                                 \
    "INSERT INTO tasks (seq, id, name, description, task, args, "    \
    "kwargs, queue, model) OVERRIDING SYSTEM VALUE SELECT seq, id, " \
    "name, description, task, args, kwargs, queue, model FROM n "
#define SUBMIT_OUTBOX                                                  \
    "INSERT INTO outbox (outbox_id, task_id, queue, message, due_at) " \
    "OVERRIDING SYSTEM VALUE SELECT n.outbox_id, n.id, n.queue, "      \
    "n.message, " DUE("n.due") " FROM n "
#define NEW_ROWS "SELECT id, seq, (SELECT " US("now()") "), outbox_id FROM n "

/* A second task of the same id fails the batch; halving finds it. */
#define SUBMIT \
    SUBMITTED "t AS (" SUBMIT_TASKS "), o AS (" SUBMIT_OUTBOX ") " NEW_ROWS

/* Of a row that is there already the outbox row is looked for; NULL: it was
 * published. */
#define SUBMIT_AGAIN                                                     \
    SUBMITTED                                                            \
    "t AS (" SUBMIT_TASKS "ON CONFLICT (id) DO NOTHING "                 \
    "RETURNING id), o AS (" SUBMIT_OUTBOX "WHERE n.id IN (SELECT "       \
    "id FROM t)) " NEW_ROWS "WHERE id IN (SELECT id FROM t) "            \
    "UNION ALL SELECT n.id, x.seq, " US(                                 \
        "x.created_at") ", "                                             \
                        "(SELECT max(b.outbox_id) FROM outbox b WHERE "  \
                        "b.task_id = "                                   \
                        "n.id) FROM n LEFT JOIN tasks x ON x.id = n.id " \
                        "WHERE n.id NOT IN (SELECT id FROM t)"

#define GET                                                            \
    "SELECT " ROW(                                                     \
        WHOLE) ", g.i FROM unnest($1::text[], $2::bigint[]) "          \
               "WITH ORDINALITY AS g(id, seq, i) CROSS JOIN LATERAL (" \
               "SELECT x.* FROM tasks x WHERE x.id = g.id UNION ALL "  \
               "SELECT x.* FROM tasks x WHERE x.seq = g.seq) t"

#define ENDED GET " WHERE t.finished_at IS NOT NULL"

#define LIST_WHERE                             \
    "WHERE ($1::text IS NULL OR status = $1) " \
    "AND ($2::text IS NULL OR task = $2) "     \
    "AND ($3::text IS NULL OR queue = $3) "    \
    "AND ($4::text IS NULL OR model = $4) "    \
    "AND ($5::text IS NULL OR name ILIKE $5 OR description ILIKE $5) "
/* The page is found by seq alone, so that skipped rows are not unpacked. */
#define LIST(order)                                                         \
    "WITH n AS (SELECT count(*) AS total FROM tasks " LIST_WHERE "), "      \
    "p AS (SELECT seq FROM tasks " LIST_WHERE "ORDER BY seq " order         \
    " OFFSET $6::bigint LIMIT $7::bigint) "                                 \
    "SELECT " ROW(CAPPED) ", n.total FROM n LEFT JOIN p ON true LEFT JOIN " \
                          "tasks t ON t.seq = p.seq ORDER BY t.seq " order

/* $1 is the Celery id, $2 the integer id, and one of them NULL.  Locked. */
#define THE_TASK                                        \
    "SELECT t.* FROM tasks t WHERE t.id = $1::text OR " \
    "t.seq = $2::bigint FOR UPDATE"

/* What a message says can change while no broker has it: its outbox row is
 * there, no relay holds it, and it is not just being published by the process
 * that made it (which needs no lease for that).  $10: is that asked for? */
#define UPDATE_SQL                                                             \
    "WITH x AS MATERIALIZED (" THE_TASK "), o AS MATERIALIZED (SELECT "        \
    "outbox_id FROM outbox WHERE task_id = (SELECT id FROM x) AND "            \
    "coalesce(leased_until, '-infinity') < now() AND (due_at > now() OR "      \
    "created_at < now() - interval '10 s') FOR UPDATE), "                      \
    "ok AS MATERIALIZED (SELECT x.seq, NOT $10::boolean OR (x.status = "       \
    "'PENDING' AND NOT x.running AND EXISTS (SELECT FROM o)) AS may "          \
    "FROM x), m AS (UPDATE outbox b SET queue = coalesce($8::text, "           \
    "b.queue), message = coalesce($9::text, b.message), due_at = CASE WHEN "   \
    "$11::bigint > 0 THEN " DUE(                                               \
        "$11") " ELSE b.due_at END FROM o, ok WHERE "                          \
               "$10 AND ok.may AND b.outbox_id = o.outbox_id), "               \
               "t AS (UPDATE tasks t SET name = coalesce($3::text, t.name), "  \
               "description = coalesce($4::text, t.description), "             \
               "task = coalesce($5::text, t.task), args = coalesce($6::json, " \
               "t.args), "                                                     \
               "kwargs = coalesce($7::json, t.kwargs), queue = coalesce($8, "  \
               "t.queue), "                                                    \
               "updated_at = now() FROM ok WHERE t.seq = ok.seq AND ok.may "   \
               "RETURNING t.*) "                                               \
               "SELECT " ROW(                                                  \
                   WHOLE) ", ok.may FROM ok LEFT JOIN t ON t.seq = ok.seq"

/* The id goes into revoked also when the task is done: a message that is
 * delivered again must not make the row anew.  A month is longer than any
 * broker keeps a message that nobody parked. */
#define DELETE_SQL                                                          \
    "WITH x AS MATERIALIZED (" THE_TASK "), r AS (INSERT INTO revoked "     \
    "(id) SELECT id FROM x ON CONFLICT DO NOTHING), " FORGET_REVOKED ", "   \
    "o AS (DELETE FROM outbox b USING x WHERE b.task_id = x.id), "          \
    "t AS (DELETE FROM tasks d USING x WHERE d.seq = x.seq RETURNING d.*) " \
    "SELECT " ROW(WHOLE) " FROM t"
#define FORGET_REVOKED                                                 \
    "old AS (DELETE FROM revoked WHERE id IN (SELECT id FROM revoked " \
    "WHERE at < now() - interval '30 days' LIMIT 100))"

/* ---- the outbox ---- */

#define TAKE                                                                  \
    "WITH p AS MATERIALIZED (SELECT outbox_id FROM outbox WHERE due_at "      \
    "<= now() AND created_at <= now() - " MS(                                 \
        "$2::bigint") " AND "                                                 \
                      "coalesce(leased_until, '-infinity') < now() ORDER BY " \
                      "due_at "                                               \
                      "LIMIT $1::bigint FOR UPDATE SKIP LOCKED) "             \
                      "UPDATE outbox o SET leased_until = now() + " MS(       \
                          "$3::bigint") " "                                   \
                                        "FROM p WHERE o.outbox_id = "         \
                                        "p.outbox_id "                        \
                                        "RETURNING o.outbox_id, o.task_id, "  \
                                        "o.queue, o.message"

#define PUBLISHED "DELETE FROM outbox WHERE outbox_id = ANY($1::bigint[])"

#define PARK                                                        \
    "INSERT INTO outbox (task_id, queue, message, due_at) "         \
    "SELECT id, queue, message, " DUE(                              \
        "due") " FROM unnest("                                      \
               "$1::text[], $2::text[], $3::text[], $4::bigint[]) " \
               "AS n(id, queue, message, due)"

#define DEPTH "SELECT count(*) FROM outbox WHERE due_at <= now()"

/* ---- the worker ---- */

/* After its server was away no lease has run out until its holder has had time
 * to renew it. */
#define EXPIRED(lease)                                                       \
    "greatest(t.lease_until, pg_postmaster_start_time() + " MS(lease) ") < " \
                                                                      "now()"

/* A message that says more retries than the row is what the task sent when it
 * asked for a retry: a fresh chance, even if that outcome is not in yet.  What
 * had not begun cannot have died of it. */
#define DEATHS                                                           \
    "CASE WHEN c.retries > t.retries THEN 0 WHEN t.running AND t.begun " \
    "AND " EXPIRED("$14::bigint") " THEN t.deaths + 1 ELSE t.deaths END"
#define FREE_TO_RUN                                    \
    "(NOT t.running OR " EXPIRED("$14::bigint") " OR " \
                                                "c.retries > t.retries)"

/* What waits has the status that it had, until it begins.  What is shown as
 * begun by its claim may have waited for others of its turn, one of which ended
 * the node: begun is left to PG_BEGUN. */
#define CLAIMED_AS(retries)                                       \
    "CASE WHEN c.begun THEN 'STARTED' WHEN " retries " > 0 THEN " \
    "'RETRY' ELSE 'PENDING' END"

/* The node's name of an instance, which is what a user looks for. */
#define NODE(c) "regexp_replace(" c ".who, '/[^/]*$', '')"

/* Rows that are there are updated, the others inserted; what is left over is
 * told why.  The numbers are enum claim; the lease's number tells our own
 * earlier try from a second message. */
/* clang-format off */
#define CLAIM_SQL                                                              \
    "WITH c AS MATERIALIZED (SELECT u.*, r.id IS NOT NULL AS is_revoked "      \
    "FROM unnest($1::text[], $2::text[], $3::json[], $4::json[], "             \
    "$5::text[], $6::text[], $7::text[], $8::text[], $9::text[], "             \
    "$10::bigint[], $11::boolean[], $12::text[], $13::bigint[]) AS u(id, "     \
    "task, args, kwargs, queue, root_id, parent_id, group_id, model, "         \
    "retries, begun, who, no) LEFT JOIN revoked r ON r.id = u.id), "           \
    "old AS (UPDATE tasks t SET "                                              \
    "status = " CLAIMED_AS("greatest(t.retries, c.retries)") ", "              \
    "running = true, begun = false, acked = false, "                           \
    "attempt = t.attempt + 1, deaths = " DEATHS ", "                           \
    "retries = greatest(t.retries, c.retries), lease_by = c.who, "             \
    "lease_no = c.no, lease_until = now() + " MS("$14::bigint") ", "           \
    "worker = CASE WHEN c.begun THEN " NODE("c") " ELSE t.worker END, "             \
    "model = coalesce(t.model, c.model), "                                     \
    "root_id = coalesce(t.root_id, c.root_id), "                               \
    "parent_id = coalesce(t.parent_id, c.parent_id), "                         \
    "group_id = coalesce(t.group_id, c.group_id), "                            \
    "started_at = CASE WHEN c.begun THEN now() ELSE t.started_at END, "        \
    "updated_at = now() "                                                      \
    "FROM c WHERE t.id = c.id AND NOT c.is_revoked AND "                       \
    "t.status NOT IN " FINAL " AND " FREE_TO_RUN " AND " DEATHS                \
    " < $15::bigint RETURNING t.id, t.attempt), "                              \
    "new AS (INSERT INTO tasks (id, task, args, kwargs, queue, root_id, "      \
    "parent_id, group_id, model, retries, lease_by, lease_no, worker, "        \
    "lease_until, started_at, status, running, attempt) SELECT id, task, "     \
    "args, kwargs, queue, root_id, parent_id, group_id, model, retries, "      \
    "who, no, CASE WHEN begun THEN " NODE("c") " END, now() + " MS("$14") ", "           \
    "CASE WHEN begun THEN now() END, " CLAIMED_AS("c.retries") ", true, 1 "    \
    "FROM c WHERE NOT is_revoked AND id NOT IN (SELECT id FROM old) "          \
    "ON CONFLICT (id) DO NOTHING RETURNING id, attempt) "                      \
    "SELECT id, 0, attempt FROM old UNION ALL "                                \
    "SELECT id, 0, attempt FROM new UNION ALL "                                \
    "SELECT c.id, CASE WHEN t.running AND t.lease_by = c.who AND "             \
    "t.lease_no = c.no THEN 0 "                                                \
    "WHEN t.status = 'REVOKED' THEN 2 WHEN t.status IN " FINAL " THEN 1 "      \
    "WHEN c.is_revoked THEN 2 WHEN t.id IS NULL THEN 100 "                     \
    "WHEN NOT " FREE_TO_RUN " THEN 3 WHEN " DEATHS " >= $15 THEN 4 "           \
    "ELSE 100 END, coalesce(t.attempt, 0) "                                    \
    "FROM c LEFT JOIN tasks t ON t.id = c.id WHERE c.id NOT IN (SELECT id "    \
    "FROM old) AND c.id NOT IN (SELECT id FROM new)"
/* clang-format on */

/* lease_until, not running: the planner must not think of walking over all that
 * runs (tasks_lease). */
#define HELD_BY(o)                                       \
    "t.id = " o ".id AND t.lease_until IS NOT NULL AND " \
    "t.attempt = " o ".attempt AND t.lease_by = " o ".who"
/* What is left over of o, of which u was done: a row that is gone or is already
 * as it was to become is well (1); one that was held when the statement began
 * has changed under it, maybe by our own earlier try (100: ask once more); the
 * rest came too late (0). */
#define TOLD(same)                                                             \
    "SELECT id, 1 FROM u UNION ALL SELECT o.id, CASE WHEN t.id IS NULL THEN "  \
    "1 WHEN t.attempt <> o.attempt OR t.lease_by IS DISTINCT FROM o.who THEN " \
    "0 WHEN t.lease_until IS NOT NULL THEN 100 WHEN NOT t.running AND " same   \
    " THEN 1 ELSE 0 END FROM o LEFT JOIN tasks t ON t.id = o.id "              \
    "WHERE o.id NOT IN (SELECT id FROM u)"

#define OUTCOME                                                    \
    "worker = coalesce(o.worker, t.worker), "                      \
    "model = coalesce(o.model, t.model), "                         \
    "prompt_tokens = coalesce(o.prompt_tokens, t.prompt_tokens), " \
    "completion_tokens = coalesce(o.completion_tokens, "           \
    "t.completion_tokens), "                                       \
    "total_tokens = coalesce(o.total_tokens, t.total_tokens), "    \
    "status = o.status, result = o.result, error = o.error, "      \
    "traceback = o.traceback, updated_at = now(), "                \
    "finished_at = CASE WHEN o.final THEN now() END, "

/* A state that was told before it began is kept.  Its outcome may be there
 * before, and tells that it had begun. */
#define BEGUN                                                               \
    "WITH o AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], " \
    "$3::bigint[], $4::boolean[]) AS o(id, who, attempt, acked)), "         \
    "u AS (UPDATE tasks t SET status = CASE WHEN t.status IN ('PENDING', "  \
    "'RETRY') THEN 'STARTED' ELSE t.status END, begun = true, "             \
    "acked = o.acked, started_at = now(), worker = " NODE(                  \
        "o") ", "                                                           \
             "updated_at = now() FROM o WHERE " HELD_BY(                    \
                 "o") " RETURNING t.id) " TOLD("t.begun")

#define SETTLE                                                              \
    "WITH o AS MATERIALIZED (SELECT *, status IN " FINAL " AS final, "      \
    "status IN " ENDS " AS ends FROM unnest($1::text[], $2::text[], "       \
    "$3::bigint[], $4::text[], $5::json[], $6::text[], $7::text[], "        \
    "$8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], " \
    "$13::bigint[], $14::bigint[]) AS o(id, who, attempt, status, result, " \
    "error, traceback, worker, model, retries, prompt_tokens, "             \
    "completion_tokens, total_tokens, ran)), "                              \
    "u AS (UPDATE tasks t SET " OUTCOME "retries = o.retries, "             \
    "begun = t.begun OR o.ran > 0, started_at = CASE WHEN t.begun OR "      \
    "o.ran = 0 THEN t.started_at ELSE now() - o.ran * interval "            \
    "'1 microsecond' END, running = NOT o.ends, deaths = CASE WHEN o.ends " \
    "THEN 0 ELSE t.deaths END, "                                            \
    "lease_until = CASE WHEN o.ends THEN NULL ELSE t.lease_until END "      \
    "FROM o WHERE " HELD_BY("o") " RETURNING t.id) " TOLD(                  \
        "t.status = o.status")

/* Over a live lease only what is final is written: then the holder's own
 * outcome comes too late.  No row is made for what a user deleted. */
#define NOTE                                                                 \
    "WITH o AS MATERIALIZED (SELECT u.*, u.status IN " FINAL " AS final, "   \
    "u.status IN " ENDS " AS ends, r.id IS NOT NULL AS is_revoked FROM "     \
    "unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::text[], "    \
    "$6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], "      \
    "$11::bigint[], $12::bigint[]) AS u(id, task, status, result, error, "   \
    "traceback, worker, model, retries, prompt_tokens, completion_tokens, "  \
    "total_tokens) LEFT JOIN revoked r ON r.id = u.id), "                    \
    "u AS (UPDATE tasks t SET " OUTCOME "retries = greatest(t.retries, "     \
    "o.retries), running = false, lease_until = NULL, lease_by = NULL "      \
    "FROM o WHERE t.id = o.id AND t.status NOT IN " FINAL                    \
    " AND (o.final OR NOT t.running) RETURNING t.id), "                      \
    "new AS (INSERT INTO tasks (id, task, status, result, error, "           \
    "traceback, worker, model, retries, prompt_tokens, completion_tokens, "  \
    "total_tokens, finished_at) SELECT id, task, status, result, error, "    \
    "traceback, worker, model, retries, prompt_tokens, completion_tokens, "  \
    "total_tokens, CASE WHEN final THEN now() END FROM o WHERE task IS NOT " \
    "NULL AND NOT is_revoked AND id NOT IN (SELECT id FROM u) "              \
    "ON CONFLICT (id) DO NOTHING) SELECT 1"

#define RELEASE                                                               \
    "WITH o AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[], "   \
    "$3::bigint[], $4::boolean[]) AS o(id, who, attempt, died)), "            \
    "u AS (UPDATE tasks t SET status = " UNCLAIMED ", running = false, "      \
    "lease_until = NULL, deaths = t.deaths + o.died::integer, "               \
    "updated_at = now() FROM o WHERE " HELD_BY("o") " RETURNING t.id) " TOLD( \
        "t.status IN ('PENDING', 'RETRY')")

#define RENEW                                     \
    "UPDATE tasks SET lease_until = now() + " MS( \
        "$2::bigint") " WHERE "                   \
                      "running AND lease_by = $1::text"

/* Its message is acknowledged: it will not come again. */
#define LOST "(t.begun AND t.acked)"

/* lease_by goes, so that an outcome of one who was not dead is refused.  What
 * the dead one's last statement still holds is waited for; in the order of the
 * batches, against deadlocks. */
/* clang-format off */
#define BURY                                                                \
    "WITH d AS MATERIALIZED (SELECT seq FROM tasks t WHERE running AND "    \
    "(lease_by = $1::text OR ($1 IS NULL AND " EXPIRED("$2::bigint") ")) "  \
    "ORDER BY id COLLATE \"C\" LIMIT 10000 FOR UPDATE) "                    \
    "UPDATE tasks t SET status = CASE WHEN " LOST " THEN 'FAILURE' ELSE "   \
    UNCLAIMED " END, running = false, lease_until = NULL, "                 \
    "lease_by = NULL, deaths = t.deaths + t.begun::integer, "               \
    "updated_at = now(), "                                                  \
    "result = CASE WHEN " LOST " THEN '{\"exc_type\": "                     \
    "\"WorkerLostError\", \"exc_message\": [\"" LOST_TEXT "\"], "           \
    "\"exc_module\": \"billiard.exceptions\"}'::json ELSE t.result END, "   \
    "error = CASE WHEN " LOST " THEN 'WorkerLostError(''" LOST_TEXT "'')' " \
    "ELSE t.error END, "                                                    \
    "finished_at = CASE WHEN " LOST " THEN now() END "                      \
    "FROM d WHERE t.seq = d.seq "                                           \
    "RETURNING CASE WHEN " LOST " THEN t.id END"
/* clang-format on */

/* One that is claimed is left to its worker, which remote control tells. */
#define REVOKE                                                              \
    "WITH n AS MATERIALIZED (SELECT * FROM unnest($1::text[]) AS n(id)), "  \
    "r AS (INSERT INTO revoked (id) SELECT id FROM n ON CONFLICT DO "       \
    "NOTHING), " FORGET_REVOKED " "                                         \
    "UPDATE tasks t SET status = 'REVOKED', updated_at = now(), "           \
    "finished_at = now(), result = '{\"exc_type\": \"TaskRevokedError\", "  \
    "\"exc_message\": [\"revoked\"], \"exc_module\": "                      \
    "\"celery.exceptions\"}'::json, "                                       \
    "error = 'TaskRevokedError(''revoked'')' FROM n WHERE t.id = n.id AND " \
    "NOT t.running AND t.status NOT IN " FINAL

/* The last ten thousand are kept. */
#define REJECT                                                        \
    "WITH old AS (DELETE FROM rejected WHERE seq < (SELECT max(seq) " \
    "FROM rejected) - 10000) "                                        \
    "INSERT INTO rejected (queue, id, reason, raw) SELECT * FROM "    \
    "unnest($1::text[], $2::text[], $3::text[], $4::bytea[])"

/* By state, so that each is a short walk over tasks_status. */
#define OPEN_IDS                                                           \
    "SELECT x.id, x.seq FROM (VALUES ('PENDING'), ('RECEIVED'), "          \
    "('STARTED'), ('PROGRESS'), ('RETRY')) AS s(status) CROSS JOIN "       \
    "LATERAL (SELECT t.id, t.seq FROM tasks t WHERE t.status = s.status "  \
    "AND t.status <> 'SUCCESS' AND t.seq > $3::bigint AND NOT t.running "  \
    "AND t.updated_at < now() - " MS(                                      \
        "$2::bigint") " AND NOT EXISTS ("                                  \
                      "SELECT FROM outbox o WHERE o.task_id = t.id) "      \
                      "ORDER BY t.seq LIMIT $1::bigint) x ORDER BY x.seq " \
                      "LIMIT $1"

static const struct statement statements[PG_KINDS] = {
    [PG_SET_UP] = {NULL, SET_UP, "TT", LANE_WORK, 1, false, false, false},
    [PG_SUBMIT] = {"submit", SUBMIT, "kttsjjmsmi", LANE_SUBMIT, 500, true, true,
                   true},
    [PG_SUBMIT_AGAIN] = {"submit_again", SUBMIT_AGAIN, "kttsjjmsmi",
                         LANE_SUBMIT, 500, true, true, true},
    [PG_GET] = {"get", GET, "sn", LANE_READ, 32, true, true, false},
    [PG_ENDED] = {"ended", ENDED, "sn", LANE_SCAN, 500, true, true, false},
    [PG_LIST_NEWEST] = {NULL, LIST("DESC"), "TTTTTII", LANE_SCAN, 1, false,
                        true, false},
    [PG_LIST_OLDEST] = {NULL, LIST("ASC"), "TTTTTII", LANE_SCAN, 1, false, true,
                        false},
    [PG_UPDATE] = {"update", UPDATE_SQL, "SNTTSJJMMBI", LANE_SUBMIT, 1, true,
                   true, false},
    [PG_DELETE] = {"delete", DELETE_SQL, "SN", LANE_SUBMIT, 1, true, true,
                   false},
    [PG_TAKE] = {NULL, TAKE, "III", LANE_SUBMIT, 1, false, true, false},
    [PG_PUBLISHED] = {"published", PUBLISHED, "i", LANE_SUBMIT, 1000, true,
                      false, false},
    [PG_PARK] = {"park", PARK, "kmmi", LANE_SUBMIT, 500, true, false, false},
    [PG_DEPTH] = {NULL, DEPTH, "", LANE_SCAN, 1, false, true, false},
    [PG_CLAIM] = {"claim", CLAIM_SQL, "ksjjsssssibsiII", LANE_WORK, 500, true,
                  false, true},
    [PG_BEGUN] = {"begun", BEGUN, "ksib", LANE_WORK, 500, true, false, true},
    [PG_SETTLE] = {"settle", SETTLE, "ksisjttssinnni", LANE_WORK, 500, true,
                   false, true},
    [PG_NOTE] = {"note", NOTE, "kssjttssinnn", LANE_WORK, 500, true, false,
                 true},
    [PG_RELEASE] = {"release", RELEASE, "ksib", LANE_WORK, 500, true, false,
                    true},
    [PG_RENEW] = {NULL, RENEW, "SI", LANE_WORK, 1, false, true, false},
    [PG_BURY] = {NULL, BURY, "SI", LANE_WORK, 1, false, false, false},
    [PG_REVOKE] = {"revoke", REVOKE, "k", LANE_WORK, 500, true, true, true},
    [PG_REJECT] = {"reject", REJECT, "ssty", LANE_WORK, 100, true, false,
                   false},
    [PG_OPEN_IDS] = {NULL, OPEN_IDS, "III", LANE_SCAN, 1, false, true, false},
    [PG_RESULT_CREATE] = {NULL, NULL, "", LANE_WORK, 1, false, false, false},
    [PG_RESULT_PUT] = {"result_put", NULL, "ksytny", LANE_WORK, 500, true,
                       false, true},
    [PG_RESULT_PUT_EXTENDED] = {"result_put_extended", NULL, "ksytnysyysns",
                                LANE_WORK, 500, true, false, true},
    [PG_RESULT_GET] = {"result_get", NULL, "k", LANE_READ, 500, true, false,
                       false},
    [PG_RESULT_READY] = {"result_ready", NULL, "k", LANE_READ, 5000, true,
                         false, false},
    [PG_RESULT_FORGET] = {"result_forget", NULL, "k", LANE_WORK, 500, true,
                          false, false},
    [PG_RESULT_CLEANUP] = {NULL, NULL, "I", LANE_WORK, 1, false, false, false},
    [PG_GROUP_SAVE] = {"group_save", NULL, "ky", LANE_WORK, 500, true, false,
                       true},
    [PG_GROUP_GET] = {"group_get", NULL, "k", LANE_READ, 500, true, false,
                      false},
    [PG_GROUP_FORGET] = {"group_forget", NULL, "k", LANE_WORK, 500, true, false,
                         false},
};

const struct statement *
statement_get(enum pg_kind kind)
{
    return &statements[kind];
}
