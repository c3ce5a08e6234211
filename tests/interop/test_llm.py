# SPDX-License-Identifier: Apache-2.0
"""A Python producer asks models through the Lovage worker, over all formats."""

import json
import pathlib
import time
import urllib.request

import pytest

import servers

FAKE = pathlib.Path(servers.__file__).with_name("fake_llm.py")


class Providers(servers.Process):
    """fake_llm.py: all providers in one."""

    name = "providers"

    def prepare(self):
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self):
        return [servers.PYTHON, FAKE, "--port", self.port, "--key", "sk-right"]

    def ready(self):
        return servers.port_open(self.port)

    def stats(self):
        with urllib.request.urlopen(f"{self.url}/stats") as r:
            return json.load(r)


@pytest.fixture(scope="module")
def providers():
    with Providers() as p:
        yield p


@pytest.fixture(scope="module")
def llm_worker(redis, providers, tmp_path_factory):
    models = tmp_path_factory.mktemp("models") / "models.json"
    models.write_text(
        json.dumps(
            {
                "providers": {
                    "gen": {
                        "kind": "tgi",
                        "base_url": providers.url + "/models/{model}",
                        "api_key_env": "TEST_GEN_KEY",
                    }
                },
                "aliases": {"gpt-4": "openai/fake", "palm": "gemini/fake"},
            }
        )
    )
    env = {
        "LOVAGE_LLM_MODELS_FILE": models,
        "LOVAGE_OPENAI_BASE_URL": providers.url + "/v1",
        "LOVAGE_OPENAI_API_KEY": "sk-right",
        "LOVAGE_ANTHROPIC_BASE_URL": providers.url + "/v1",
        "LOVAGE_ANTHROPIC_API_KEY": "sk-wr0ng-key",
        "LOVAGE_GEMINI_BASE_URL": providers.url + "/v1beta",
        "LOVAGE_GEMINI_API_KEY": "sk-right",
        "TEST_GEN_KEY": "sk-right",
    }
    with servers.Worker(redis.url, queues="llm", include=None, env=env) as w:
        yield w
        assert "sk-right" not in w.text(), "a key is in the log"
        assert "wr0ng" not in w.text(), "a key is in the log"


@pytest.fixture
def ask(app, llm_worker):
    def send(task, *args, **kwargs):
        return app.send_task(task, args, kwargs, queue="llm")

    return send


def test_the_original_task_answers(ask):
    r = ask("tasks.process_llm_query", "gpt-4", "hello there", 100).get(15)
    assert r["model"] == "gpt-4"
    assert r["text"] == "You said: hello there"
    assert r["usage"]["total_tokens"] == 6
    assert (r["provider"], r["model_used"]) == ("openai", "fake-0001")


def test_the_same_question_comes_from_the_cache(ask, providers):
    first = ask("llm.query", "gpt-4", "cache me").get(15)
    second = ask("llm.query", "gpt-4", "cache me").get(15)
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["text"] == first["text"]
    assert second["usage"] == first["usage"]
    assert providers.stats()["prompts"]["cache me"] == 1


def test_fan_out_gives_every_answer_and_every_error(ask):
    models = ["gpt-4", "claude-x", "palm", "gen/fake", "nobody", "echo"]
    r = ask("llm.fan_out", models, "hi").get(15)
    by = dict(zip(models, r["answers"]))
    assert [a["model"] for a in r["answers"]] == models
    for good in "gpt-4", "palm", "gen/fake":
        assert by[good]["text"] == "You said: hi", by
    assert by["echo"]["text"] == "hi"
    assert by["claude-x"]["error"]["class"] == "auth"
    assert by["claude-x"]["error"]["http_status"] == 401
    assert "wr0ng" not in str(r)
    assert by["nobody"]["error"]["class"] == "model_not_found"
    assert r["usage"]["total_tokens"] == sum(
        a["usage"]["total_tokens"] for a in r["answers"] if "usage" in a
    )


def test_errors_are_raised_by_name(ask):
    with pytest.raises(Exception) as e:
        ask("llm.query", "claude-x", "hi").get(15)
    assert type(e.value).__name__ == "AuthError"
    assert "wr0ng" not in str(e.value)
    with pytest.raises(TypeError, match="'max_tokens' must be int, not str"):
        ask("llm.query", "echo", "hi", "many").get(15)
    with pytest.raises(ValueError, match="'temperature'"):
        ask("llm.query", "echo", "hi", temperature=7).get(15)


def test_many_slow_calls_run_at_once(ask):
    start = time.monotonic()
    results = [
        ask("llm.query", "openai/fake:latency_ms-500", f"q{i}")
        for i in range(100)
    ]
    for i, r in enumerate(results):
        assert r.get(30)["text"] == f"You said: q{i}"
    assert time.monotonic() - start < 10 * servers.SLOW  # not 50


def test_a_long_rate_limit_puts_the_task_back(ask):
    r = ask("llm.query", "openai/fake:status-429:retry_after-70", "later")
    servers.wait_for(lambda: r.state == "RETRY", 15, "RETRY")
    assert "rate" in str(r.result).lower() or "429" in str(r.result)
    r.revoke()


@pytest.mark.parametrize("multiplier, held", [(4, 18), (1, 16)])
def test_a_few_wait_in_the_node_for_the_next_place(redis, app, multiplier, held):
    """An eighth of those that may run; none where nothing is to be prefetched."""
    env = {
        "LOVAGE_TASK_ACKS_LATE": "true",
        "LOVAGE_WORKER_ASYNC_CONCURRENCY": 16,
        "LOVAGE_WORKER_PREFETCH_MULTIPLIER": multiplier,
    }
    client = redis.client()
    with servers.Worker(redis.url, queues="ahead", include=None, env=env) as w:
        for i in range(40):
            app.send_task("llm.query", ("echo-slow", f"wait {i}"), queue="ahead")

        def in_hand():
            keys = client.keys(f"lovage.held.{w.hostname}/*")
            return sum(client.scard(k) for k in keys)

        servers.wait_for(lambda: in_hand() >= held, what=f"{held} in hand")
        seen = set()
        for _ in range(50):  # well within the two seconds that each takes
            seen.add(in_hand())
            time.sleep(0.01)
        client.delete("ahead")
    assert seen == {held}
