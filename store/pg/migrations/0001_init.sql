-- Task records, the outbox, revocations and rejected messages.
--
-- Columns that change while a task runs (lease_until, updated_at, result) stay
-- out of the indexes, and pages keep room for a second version of a row: a
-- renewed lease or a progress report is then a heap-only update, which touches
-- no index.  Status changes cannot be; the index over it leaves out SUCCESS,
-- where almost every row ends, so that finishing costs one entry less.

CREATE TABLE tasks (
    seq               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    started_at        timestamptz,
    finished_at       timestamptz,
    -- The lease: who has the task, until when, as which attempt (the fencing
    -- token: it only grows).  running is true exactly while there is one; begun
    -- tells that the task itself runs; without it, it only waits for its turn.
    lease_until       timestamptz,
    lease_no          bigint,              -- tells a claim sent again from a second one
    prompt_tokens     bigint,
    completion_tokens bigint,
    total_tokens      bigint,
    attempt           integer NOT NULL DEFAULT 0,
    deaths            integer NOT NULL DEFAULT 0, -- attempts in a row that died
    retries           integer NOT NULL DEFAULT 0, -- Celery's count
    running           boolean NOT NULL DEFAULT false,
    begun             boolean NOT NULL DEFAULT false,
    acked             boolean NOT NULL DEFAULT false, -- its message, when it began
    id                text NOT NULL,       -- Celery's id
    status            text NOT NULL DEFAULT 'PENDING',
    task              text NOT NULL,
    queue             text,
    name              text,
    description       text,
    worker            text,
    model             text,
    lease_by          text,
    root_id           text,
    parent_id         text,
    group_id          text,
    -- json, not jsonb: it keeps \u0000, big numbers and the order of keys.
    args              json,
    kwargs            json,
    result            json,
    error             text,
    traceback         text
) WITH (
    fillfactor = 75,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE UNIQUE INDEX tasks_id ON tasks (id);
CREATE INDEX tasks_status ON tasks (status, seq) WHERE status <> 'SUCCESS';
CREATE INDEX tasks_task ON tasks (task, seq);
CREATE INDEX tasks_lease ON tasks (lease_by) WHERE running;
CREATE INDEX tasks_created ON tasks USING brin (created_at);

CREATE TABLE outbox (
    outbox_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at   timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz NOT NULL,
    leased_until timestamptz,
    task_id      text NOT NULL,
    queue        text NOT NULL,
    message      text NOT NULL
) WITH (
    fillfactor = 75,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000
);

CREATE INDEX outbox_due ON outbox (due_at);
CREATE INDEX outbox_task ON outbox (task_id);

CREATE TABLE revoked (
    id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX revoked_at ON revoked (at);

CREATE TABLE rejected (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    queue  text,
    id     text,
    reason text NOT NULL,
    raw    bytea
);
