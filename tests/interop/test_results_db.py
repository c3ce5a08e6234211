# SPDX-License-Identifier: Apache-2.0
"""Celery's own tables in PostgreSQL as result backend, read and written by both
languages; chords without a backend that counts their members."""

import datetime
import decimal
import json
import pickle
import subprocess
import uuid

import celery
import pytest
from celery.result import AsyncResult, GroupResult

import servers


@pytest.fixture(scope="session")
def results(postgres):
    """The URL of the backend; nobody has made its tables yet."""
    return "db+" + postgres.database()


@pytest.fixture(scope="session")
def app(broker, results):
    a = celery.Celery("producer", broker=broker.url, backend=results)
    a.conf.task_default_queue = "c"
    a.conf.result_extended = True
    yield a
    a.close()


@pytest.fixture(scope="session")
def worker(broker, results):
    env = {
        "LOVAGE_RESULT_EXTENDED": "true",
        "LOVAGE_RESULT_CHORD_RETRY_INTERVAL": "0.2",
        "LOVAGE_RESULT_EXPIRES": "3600",
    }
    with servers.Worker(
        broker.url, backend=results, queues="c,celery", concurrency=2, env=env
    ) as w:
        yield w
        assert w.running(), w.tail()


@pytest.fixture(scope="session")
def pyworker(broker, results, worker):
    with servers.CeleryWorker(
        broker.url, backend=results, queues="py", env={"RESULT_EXTENDED": "1"}
    ) as w:
        yield w


@pytest.fixture
def sql(postgres, results):
    """Runs SQL in the database of the results."""
    name = results.rpartition("/")[2]
    return lambda text, *params: postgres.query(text, *params, db=name)


@pytest.fixture
def sig(app):
    def make(name, *args, **options):
        queue = "py" if name.startswith("py.") else "c"
        return app.signature(name, args=args, queue=queue, **options)

    return make


def lovage_result(results, task_id, *flags):
    return servers.lovage(
        *("result", task_id, "--timeout", "5", *flags),
        env={"LOVAGE_RESULT_BACKEND": results},
    )


# ---- the tables ----

SCHEMA = """
SELECT table_schema, table_name, column_name, data_type, column_default,
    is_nullable, character_maximum_length
FROM information_schema.columns WHERE table_schema NOT IN
    ('pg_catalog', 'information_schema') ORDER BY table_name, ordinal_position
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
"""
SEQUENCES = "SELECT sequencename, increment_by, max_value FROM pg_sequences ORDER BY 1"


def python(url, code):
    """In a process of its own: SQLAlchemy's tables are one per process."""
    code = f"import celery; app = celery.Celery(backend={'db+' + url!r}); {code}"
    return subprocess.run(
        [servers.PYTHON, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def made_by_python(postgres):
    url = postgres.database()
    python(url, "app.AsyncResult('x').state")
    return url.rpartition("/")[2]


def made_by_lovage(postgres, **env):
    url = postgres.database()
    lovage_result("db+postgresql+psycopg2" + url[len("postgresql"):], "x", "--timeout", "0.5")
    return url.rpartition("/")[2]


def test_the_tables_are_those_that_celery_makes(postgres):
    python, lovage = made_by_python(postgres), made_by_lovage(postgres)
    for query in (SCHEMA, CONSTRAINTS, SEQUENCES):
        want = postgres.query(query, db=python)
        got = postgres.query(query, db=lovage)
        assert len(want) > 1
        # Celery 5.7 added two columns.
        new = [row for row in got if row not in want]
        assert [row for row in got if row in want] == want
        assert {row[2] for row in new} <= {"children", "stamps"}


def test_names_and_schemas_of_the_tables_are_settings(postgres):
    url = postgres.database()
    name = url.rpartition("/")[2]
    postgres.query('CREATE SCHEMA "odd""one"', db=name)
    tables = {"task": "some tasks", "group": "gr'oups"}
    schemas = {"task": 'odd"one'}
    env = {
        "LOVAGE_RESULT_BACKEND": "db+" + url,
        "LOVAGE_DATABASE_TABLE_NAMES": json.dumps(tables),
        "LOVAGE_DATABASE_TABLE_SCHEMAS": json.dumps(schemas),
    }
    servers.lovage("result", "t1", "--timeout", "0.5", env=env)
    made = postgres.query(SCHEMA, db=name)
    assert {(r[0], r[1]) for r in made} == {('odd"one', "some tasks"), ("public", "gr'oups")}
    python(
        url,
        f"app.conf.database_table_names = {tables!r};"
        f"app.conf.database_table_schemas = {schemas!r};"
        "app.backend.store_result('t1', [1, 2], 'SUCCESS')",
    )
    done = servers.lovage("result", "t1", "--timeout", "5", env=env)
    assert done.stdout == "[1, 2]\n", done.stderr


# ---- results ----

VALUES = [
    None, True, 7, -1, 2**31, 2**40, 2**63, 10**40, -(10**40), 1.5, "é\u20ac", "a\0b", [], {},
    [1, [2, {"a": None}]], {"a": {"b": [1.25, "x"]}, "n": 2**70}, list(range(1500)),
]


def test_python_reads_what_a_lovage_task_returned(client):
    for value in VALUES:
        result = client.send("interop.inline_echo", value)
        assert result.get(timeout=client.timeout) == {"args": [value], "kwargs": {}}
        assert result.successful()


def test_lovage_reads_what_a_python_task_returned(client, results, pyworker):
    for value in VALUES[:-1]:
        result = client.send("py.echo", value, queue="py")
        result.get(timeout=client.timeout)
        got = lovage_result(results, result.id)
        assert json.loads(got.stdout) == {"args": [value], "kwargs": {}}


def test_values_that_json_has_not_come_as_kombu_writes_them(app, results):
    backend = app.backend
    cases = [
        (datetime.datetime(2024, 1, 2, 3, 4, 5, 6), "datetime", "2024-01-02T03:04:05.000006"),
        (decimal.Decimal("1.50"), "decimal", "1.50"),
        (uuid.UUID(int=5), "uuid", {"hex": "0" * 31 + "5"}),
        (b"abc", "bytes", "abc"),
    ]
    for value, kind, text in cases:
        backend.store_result(f"typed-{kind}", {"v": value}, "SUCCESS")
        got = lovage_result(results, f"typed-{kind}")
        assert json.loads(got.stdout) == {"v": {"__type__": kind, "__value__": text}}
    if celery.VERSION < (5, 7):  # since then JSON, which has no sets
        backend.store_result("a-set", {3}, "SUCCESS")
        assert lovage_result(results, "a-set").stdout == "[3]\n"


def test_results_and_groups_are_json_since_celery_5_7(app, results, sql, worker):
    app.backend.store_result("as-json", 1, "SUCCESS")
    text = '{"a": [1, null, "\u00e9"]}'
    sql("UPDATE celery_taskmeta SET result = %s WHERE task_id = 'as-json'", text.encode())
    assert json.loads(lovage_result(results, "as-json").stdout) == json.loads(text)
    saved = '[["as-json-g", null], [[["as-json", null], null]]]'
    sql(
        "INSERT INTO celery_tasksetmeta (id, taskset_id, result, date_done) VALUES "
        "(nextval('taskset_id_sequence'), 'as-json-g', %s, now())", saved.encode()
    )
    got = lovage_result(results, "as-json-g")
    assert got.stdout.startswith("as-json SUCCESS {")


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_that_calls_something_is_refused(app, results, sql, worker):
    app.backend.store_result("evil", {"x": 1}, "SUCCESS")
    sql(
        "UPDATE celery_taskmeta SET result = %s WHERE task_id = 'evil'",
        pickle.dumps({"x": [Evil()]}),
    )
    got = lovage_result(results, "evil")
    assert got.returncode != 0 and "executed" not in got.stdout
    assert "builtins.print is refused" in got.stderr


def test_an_exception_is_raised_in_python_as_it_was_in_c(client):
    result = client.send("interop.fail", "KeyError", "builtins", "lost")
    with pytest.raises(KeyError, match="lost"):
        result.get(timeout=client.timeout)
    assert result.state == "FAILURE"


def test_a_python_failure_is_shown_by_lovage(client, results, pyworker):
    result = client.send("py.fail", "oh no", queue="py")
    with pytest.raises(ValueError):
        result.get(timeout=client.timeout)
    got = lovage_result(results, result.id, "--traceback")
    assert got.returncode == 1
    assert "FAILURE: ValueError('oh no', 42)" in got.stderr
    assert "Traceback (most recent call last)" in got.stderr


def test_extended_columns_are_filled_as_celery_does(client, sql, worker, pyworker):
    kwargs = {"b": [1, "é"]}
    mine = client.send("interop.echo", 1, None, kwargs=kwargs)
    mine.get(timeout=client.timeout)
    theirs = client.send("py.echo", 1, None, kwargs=kwargs, queue="py")
    theirs.get(timeout=client.timeout)
    rows = dict(
        sql(
            "SELECT task_id, (name, args, kwargs, retries, queue)::text "
            "FROM celery_taskmeta WHERE task_id IN (%s, %s)", mine.id, theirs.id
        )
    )
    assert rows[mine.id].replace("interop.echo", "py.echo").replace(",c)", ",py)") == rows[theirs.id]
    fresh = AsyncResult(mine.id, app=client.app)
    assert (fresh.name, fresh.args, fresh.kwargs) == ("interop.echo", [1, None], kwargs)
    assert (fresh.worker, fresh.retries, fresh.queue) == (worker.hostname, 0, "c")


def test_states_are_stored_and_dates_only_of_what_ended(client, sql):
    result = client.send("interop.tracked_nap", 1)
    client.state(result, "STARTED")
    assert sql("SELECT date_done FROM celery_taskmeta WHERE task_id = %s", result.id) == [(None,)]
    result.get(timeout=client.timeout)
    age = sql(
        "SELECT abs(extract(epoch FROM date_done - now() AT TIME ZONE 'UTC')) < 10 "
        "FROM celery_taskmeta WHERE task_id = %s", result.id
    )
    assert age == [(True,)]


def test_a_task_takes_one_id_of_the_sequence(client, sql):
    client.call("interop.add", 1, 1)
    before = sql("SELECT last_value FROM task_id_sequence")[0][0]
    client.call("interop.tracked_nap", 0)  # STARTED, then SUCCESS
    assert sql("SELECT last_value FROM task_id_sequence")[0][0] == before + 1


def test_what_python_forgets_is_gone_for_lovage(client, results):
    result = client.send("interop.add", 1, 1)
    result.get(timeout=client.timeout)
    result.forget()
    got = lovage_result(results, result.id, "--timeout", "0.5")
    assert got.returncode != 0


def test_both_make_rows_of_one_task_at_once(client, sig, pyworker):
    """Retries and duplicates meet in the unique index; nothing is lost."""
    group = celery.group(
        [sig("interop.add", i, i) for i in range(60)] + [sig("py.add", i, i) for i in range(60)],
        app=client.app,
    )
    got = group.apply_async().get(timeout=2 * client.timeout)
    assert got == [2 * i for i in range(60)] * 2


def test_cleanup_deletes_what_has_expired(client, sql):
    for name, hours in (("old", 2), ("young", 0)):
        client.app.backend.store_result(name, 1, "SUCCESS")
        GroupResult(name, [], app=client.app).save()
        for table, column in (("celery_taskmeta", "task_id"), ("celery_tasksetmeta", "taskset_id")):
            sql(
                f"UPDATE {table} SET date_done = now() AT TIME ZONE 'UTC' - %s * interval '1 hour' "
                f"WHERE {column} = %s", hours, name
            )
    client.send("celery.backend_cleanup")
    both = "SELECT task_id FROM celery_taskmeta WHERE task_id IN ('old', 'young')"
    servers.wait_for(lambda: sql(both) == [("young",)], 10, "old results deleted")
    groups = "SELECT taskset_id FROM celery_tasksetmeta WHERE taskset_id IN ('old', 'young')"
    assert sql(groups) == [("young",)]


# ---- groups ----


def test_lovage_shows_a_group_that_python_saved(client, sig, results):
    group = celery.group(sig("interop.add", 1, 1), sig("interop.add", 2, 2), app=client.app)
    result = group.apply_async()
    result.save()
    got = lovage_result(results, result.id)
    assert got.returncode == 0, got.stderr
    lines = [f"{r.id} SUCCESS {2 * (i + 1)}" for i, r in enumerate(result.results)]
    assert got.stdout.splitlines() == lines


def test_a_group_is_forgotten_with_its_members(client, sig, results):
    group = celery.group(sig("interop.add", 1, 1), sig("interop.add", 2, 2), app=client.app)
    result = group.apply_async()
    result.save()
    got = lovage_result(results, result.id, "--forget")
    assert got.returncode == 0, got.stderr
    assert GroupResult.restore(result.id, app=client.app) is None
    assert [AsyncResult(r.id, app=client.app).state for r in result.results] == ["PENDING"] * 2


def test_python_restores_a_group_as_we_write_it(client, sig, sql):
    """The bytes are those of tests/unit/protocol/test_pickle.c."""
    members = [client.send("interop.add", i, i) for i in range(2)]
    ids = [m.id.encode() for m in members]

    def text(s):
        return b"X" + len(s).to_bytes(4, "little") + s

    def one(s):
        return b"ccelery.result\nAsyncResult\n(" + text(s) + b"NNNNtR"

    saved = b"\x80\x02ccelery.result\nGroupResult\n" + text(b"ours") + b"]("
    saved += one(ids[0]) + one(ids[1]) + b"e\x86R."
    sql(
        "INSERT INTO celery_tasksetmeta (id, taskset_id, result, date_done) VALUES "
        "(nextval('taskset_id_sequence'), 'ours', %s, now())", saved
    )
    restored = GroupResult.restore("ours", app=client.app)
    assert restored.id == "ours" and [r.id for r in restored.results] == [m.id for m in members]
    assert restored.get(timeout=client.timeout) == [0, 2]


# ---- chords ----

BODIES = ["py.total", "interop.sum"]
MEMBERS = [["interop.add"], ["py.add"], ["interop.add", "py.add"]]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("members", MEMBERS, ids="+".join)
def test_a_chord_sums_the_results_of_its_members(client, sig, pyworker, members, body):
    header = [sig(members[i % len(members)], i, i) for i in range(4)]
    result = celery.chord(header, app=client.app)(sig(body))
    assert result.get(timeout=client.timeout) == 12


@pytest.mark.parametrize("first", ["interop.add", "py.add"])
@pytest.mark.parametrize("body", BODIES)
def test_a_worker_sends_a_chord_in_a_chain(client, sig, pyworker, first, body):
    """The first task's worker sends the members and celery.chord_unlock."""
    group = celery.group([sig("interop.add", 1), sig("py.add", 2)], app=client.app)
    chain = sig(first, 1, 1) | group | sig(body) | sig("interop.add", 10)
    assert chain.apply_async().get(timeout=2 * client.timeout) == 17


@pytest.mark.parametrize("body", BODIES)
def test_a_chord_with_a_failed_member_fails(client, sig, pyworker, body, tmp_path):
    notes = tmp_path / "notes"
    header = [sig("interop.add", 1, 1), sig("interop.fail", "ValueError", "builtins", "member")]
    errback = celery.signature("interop.errback", kwargs={"path": str(notes)}, queue="c", app=client.app)
    result = celery.chord(header, app=client.app)(sig(body).on_error(errback))
    client.state(result, "FAILURE")
    culprit = result.parent.results[1].id
    text = str(client.app.backend.get_task_meta(result.id)["result"])
    # Celery 5.2 looks for the culprit where this backend never has it.
    want = "ValueError('member')"
    assert text == (want if body == "py.total" else f"Dependency {culprit} raised {want}")
    servers.wait_for(lambda: notes.exists() and notes.read_text(), 10, "errback")
    assert notes.read_text() == f"failed {result.id}\n"


def test_a_task_replaced_by_a_group_waits_for_it(client, sig, pyworker):
    chain = sig("interop.replace", 1, "py") | sig("interop.add", 1)
    assert chain.apply_async().get(timeout=client.timeout) == 1002


def test_a_chord_waits_for_slow_members(client, sig):
    header = [sig("interop.nap", 1.5), sig("interop.add", 1, 1)]
    start = celery.chord(header, app=client.app)(sig("interop.echo"))
    assert start.get(timeout=client.timeout)["args"][0][1] == 2
