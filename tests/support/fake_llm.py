#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A local server that speaks the formats of all LLM providers.

    fake_llm.py [--port N] [--latency-ms N] [--key KEY]

Prints its port on one line, then serves until it is killed or its standard input
ends.  Base URLs, by the path that follows them:

    /v1            OpenAI, compatible servers, Hugging Face's router; Anthropic
    /v1beta        Gemini            /v1beta2    PaLM
    / or /models/X classic text generation (TGI)

It answers with "You said: " and the prompt.  How it behaves is written into the
model's name (fake:latency_ms-200:status-429:retry_after-2) or into a header
(X-Fake: latency_ms=200; status=429), or given for all calls with --latency-ms:

    latency_ms-N      waits before it answers
    status-N          an error in the provider's own shape: 400 401 402 403 404
                      408 409 413 422 429 500 502 503 504 529
    code-NAME         the code in that error, e.g. insufficient_quota
    retry_after-N     the Retry-After header; "date" gives a date in 3 s;
                      evil: 999999999
    retry_after_ms-N  the other header; for Gemini, RetryInfo in the body
    times-N           misbehaves N times (each name is counted), then is good
    refuse-PARAM      400 unsupported_parameter while PARAM is in the request
    fault-NAME        hang: never answers     reset: closes at once
                      cut: closes inside the body      garbage: no JSON
                      html: a proxy's page    huge: size-N bytes (100 MB)
                      drip: one byte each 20 ms        headers: without end
                      empty: no choices       null: no text, no reason
                      wrong: another provider's shape  slowhead: half a header
                      redirect: 302 to another host
    badkey            refuses the key, and quotes it
    tokens-N          answers with N words    reasoning-N  hidden tokens
    finish-NAME       the provider's own finish reason
    nousage           leaves usage out

GET /stats: {"calls", "open", "max_open", "connections", "prompts": {...}}.
"""
import argparse
import asyncio
import email.utils
import json
import os
import socket
import stat
import struct
import sys
import time
from urllib.parse import unquote

STATS = {"calls": 0, "open": 0, "max_open": 0, "connections": 0}
PROMPTS = {}
FAULTS_LEFT = {}
HEADS = {}    # request heads that were read before: clients repeat them
OPTIONS = {}
ARGS = None


def read_head(raw):
    head = HEADS.get(raw)
    if head is not None:
        return head
    lines = raw.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    method, path = lines[0].split(" ")[:2]
    head = (method, path, headers, int(headers.get("content-length", 0)))
    if len(HEADS) < 10000:
        HEADS[raw] = head
    return head


def cached_options(model, header):
    key = (model, header)
    options = OPTIONS.get(key)
    if options is None:
        options = read_options(model, header)
        if len(OPTIONS) < 10000:
            OPTIONS[key] = options
    return options


def read_options(model, header):
    text = model.split(":")[1:] + [p.strip() for p in header.split(";")]
    options = {}
    for part in text:
        for sep in "=-":
            key, found, value = part.partition(sep)
            if found:
                break
        if key:
            options[key.strip()] = value.strip() or "1"
    return options


def flatten(messages, key):
    texts = []
    for m in messages or []:
        c = m.get(key, "")
        if isinstance(c, list):
            c = "".join(p.get("text", "") for p in c)
        texts.append(c)
    return texts[-1] if texts else ""


class Call:
    """One request, as its provider's format says it."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers = method, path, headers
        self.doc = json.loads(body) if body else {}
        self.kind, self.model, self.prompt = "openai", "", ""
        path = path.split("?")[0]
        last = path.rsplit("/", 1)[-1]
        if last.endswith("messages"):
            self.kind = "anthropic"
        elif ":generateContent" in last:
            self.kind = "gemini"
        elif ":generateText" in last or ":generateMessage" in last:
            self.kind = "palm"
        elif "inputs" in self.doc:
            self.kind = "tgi"
        getattr(self, "read_" + self.kind)(last)
        self.options = cached_options(self.model, headers.get("x-fake", ""))
        if self.options.get("times") is not None:
            self.options = dict(self.options)
            name = self.kind + self.model + headers.get("x-fake", "")
            left = FAULTS_LEFT.setdefault(name, int(self.options["times"]))
            FAULTS_LEFT[name] = max(left - 1, 0)
            if left == 0:
                for k in ("status", "fault", "times"):
                    self.options.pop(k, None)

    def read_openai(self, last):
        self.model = str(self.doc.get("model", ""))
        self.prompt = flatten(self.doc.get("messages"), "content")

    read_anthropic = read_openai

    def read_gemini(self, last):
        self.model = unquote(last).rsplit(":", 1)[0]
        self.prompt = flatten(self.doc.get("contents"), "parts")

    def read_palm(self, last):
        self.model = unquote(last).rsplit(":", 1)[0]
        prompt = self.doc.get("prompt", {})
        self.prompt = prompt.get("text") or flatten(prompt.get("messages"), "content")

    def read_tgi(self, last):
        self.model = unquote(self.path.partition("/models/")[2])
        self.prompt = self.doc["inputs"]

    def key(self):
        h = self.headers
        bearer = h.get("authorization", "")
        return h.get("x-api-key") or h.get("x-goog-api-key") or bearer[7:]

    def cap(self):
        d = self.doc
        for where, name in ((d, "max_tokens"), (d, "max_completion_tokens"),
                            (d.get("generationConfig", {}), "maxOutputTokens"),
                            (d, "maxOutputTokens"),
                            (d.get("parameters", {}), "max_new_tokens")):
            if where.get(name) is not None:
                return where[name]
        return 1 << 30

    # ---- answers ----

    def answer(self):
        o = self.options
        words = ("You said: " + self.prompt).split(" ")
        if "tokens" in o:
            n = int(o["tokens"])
            words = (words * (n // len(words) + 1))[:n]
        hidden = int(o.get("reasoning", 0))
        cap = self.cap()
        cut, hidden = max(cap - hidden, 0), min(hidden, cap)
        text, full = " ".join(words[:cut]), len(words) <= cut
        return getattr(self, "answer_" + self.kind)(
            text, full, len(self.prompt.split()), min(len(words), cut) + hidden, hidden)

    def answer_openai(self, text, full, n_in, n_out, hidden):
        o = self.options
        doc = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1741569952,
               "model": self.model + "-0001",
               "choices": [{"index": 0, "logprobs": None,
                            "finish_reason": o.get("finish", "stop" if full else "length"),
                            "message": {"role": "assistant", "content": text,
                                        "refusal": None}}],
               "usage": {"prompt_tokens": n_in, "completion_tokens": n_out,
                         "total_tokens": n_in + n_out,
                         "completion_tokens_details": {"reasoning_tokens": hidden}}}
        if "nousage" in o:
            del doc["usage"]
        return doc

    def answer_anthropic(self, text, full, n_in, n_out, hidden):
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": self.model,
                "content": [{"type": "text", "text": text}], "stop_sequence": None,
                "stop_reason": self.options.get("finish", "end_turn" if full else "max_tokens"),
                "usage": {"input_tokens": n_in, "cache_creation_input_tokens": 0,
                          "cache_read_input_tokens": 0, "output_tokens": n_out}}

    def answer_gemini(self, text, full, n_in, n_out, hidden):
        finish = self.options.get("finish", "STOP" if full else "MAX_TOKENS")
        return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]},
                                "index": 0, "finishReason": finish}],
                "usageMetadata": {"promptTokenCount": n_in,
                                  "candidatesTokenCount": n_out - hidden,
                                  "thoughtsTokenCount": hidden,
                                  "totalTokenCount": n_in + n_out},
                "modelVersion": self.model + "-0001", "responseId": "r1"}

    def answer_palm(self, text, full, n_in, n_out, hidden):
        if "generateText" in self.path:
            return {"candidates": [{"output": text, "safetyRatings": []}]}
        return {"candidates": [{"author": "1", "content": text}], "messages": [], "filters": []}

    def answer_tgi(self, text, full, n_in, n_out, hidden):
        return [{"generated_text": text,
                 "details": {"finish_reason": "eos_token" if full else "length",
                             "generated_tokens": n_out, "prefill": [], "tokens": []}}]

    # ---- errors ----

    def error(self, status, message=None, code=None, param=None):
        code = code or self.options.get("code")
        message = message or "fake error %d" % status
        kind = "google" if self.kind in ("gemini", "palm") else self.kind
        return getattr(self, "error_" + kind)(status, message, code, param)

    def error_google(self, status, message, code, param):
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
                 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL",
                 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
        details = []
        if code:
            details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code})
        if "retry_after_ms" in self.options:
            seconds = int(self.options["retry_after_ms"]) / 1000
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo",
                            "retryDelay": "%gs" % seconds})
        return {"error": {"code": status, "message": message,
                          "status": names.get(status, "UNKNOWN"), "details": details}}

    def error_anthropic(self, status, message, code, param):
        names = {400: "invalid_request_error", 401: "authentication_error",
                 402: "billing_error", 403: "permission_error", 404: "not_found_error",
                 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error",
                 504: "timeout_error", 529: "overloaded_error"}
        e = {"type": names.get(status, "api_error"), "message": message}
        if code:
            e["details"] = {"error_code": code}
        return {"type": "error", "error": e, "request_id": "req_1"}

    def error_tgi(self, status, message, code, param):
        if status == 503:
            return {"error": "Model is currently loading", "estimated_time": 0.2}
        return {"error": message, "error_type": code or "generation"}

    def error_openai(self, status, message, code, param):
        return {"error": {"message": message, "type": "fake_error", "param": param,
                          "code": code}}

    def refused(self):
        param = self.options.get("refuse")
        if param is None or param not in self.doc:
            return None
        if self.kind == "anthropic":
            return self.error(400, "`%s` is deprecated for this model." % param)
        return self.error(400, "Unsupported parameter: '%s' is not supported with this model."
                          % param, "unsupported_parameter", param)

    def error_headers(self):
        o, h = self.options, {}
        if "retry_after" in o:
            v = o["retry_after"]
            h["Retry-After"] = (email.utils.formatdate(time.time() + 3, usegmt=True)
                                if v == "date" else "999999999" if v == "evil" else v)
        if "retry_after_ms" in o and self.kind not in ("gemini", "palm"):
            h["Retry-After-Ms"] = o["retry_after_ms"]
        return h


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
        self.busy, self.paused = False, None
        self.loop = asyncio.get_event_loop()
        STATS["connections"] += 1
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc):
        if self.busy:
            self.busy = False
            STATS["open"] -= 1
        if self.paused:
            self.paused.set()

    def pause_writing(self):
        self.paused = asyncio.Event()

    def resume_writing(self):
        self.paused.set()
        self.paused = None

    def data_received(self, data):
        self.data += data
        if not self.busy:
            self.next_request()

    def next_request(self):
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        method, path, headers, size = read_head(self.data[:end])
        if len(self.data) < end + 4 + size:
            return
        body = self.data[end + 4:end + 4 + size]
        self.data = self.data[end + 4 + size:]
        self.busy = True
        STATS["open"] += 1
        STATS["max_open"] = max(STATS["max_open"], STATS["open"])
        self.serve(method, path, headers, body)

    def serve(self, method, path, headers, body):
        if path.startswith("/stats"):
            self.send(200, dict(STATS, prompts=PROMPTS))
            return
        if method == "GET":
            self.send(200, {"object": "list", "data": [{"id": "fake", "object": "model"}]})
            return
        STATS["calls"] += 1
        call = Call(method, path, headers, body)
        PROMPTS[call.prompt] = PROMPTS.get(call.prompt, 0) + 1
        latency = int(call.options.get("latency_ms", ARGS.latency_ms))
        if latency:
            self.loop.call_later(latency / 1000, self.answer, call)
        else:
            self.answer(call)

    def answer(self, call):
        if self.transport.is_closing():
            return
        if "badkey" in call.options or ARGS.key and call.key() != ARGS.key:
            self.send(401, call.error(401, "Incorrect API key provided: %s" % call.key(),
                                      "invalid_api_key"))
            return
        refused = call.refused()
        if refused is not None:
            self.send(400, refused)
        elif "fault" in call.options:
            getattr(self, "fault_" + call.options["fault"])(call)
        elif "status" in call.options:
            status = int(call.options["status"])
            self.send(status, call.error(status), call.error_headers())
        else:
            self.send(200, call.answer())

    def done(self):
        if self.busy:
            self.busy = False
            STATS["open"] -= 1
        if self.data:
            self.next_request()

    def send(self, status, doc, headers=None, kind="application/json"):
        body = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
        head = "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n" \
               "X-Request-Id: req-%d\r\n" % (status, kind, len(body), STATS["calls"])
        for name, value in (headers or {}).items():
            head += "%s: %s\r\n" % (name, value)
        self.transport.write(head.encode() + b"\r\n" + body)
        self.done()

    # ---- faults ----

    def fault_hang(self, call):
        pass

    def fault_reset(self, call):
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def fault_cut(self, call):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"Content-Length: 1000\r\n\r\n{\"choices\": [")
        self.loop.call_later(0.02, self.fault_reset, call)

    def fault_slowhead(self, call):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Ty")

    def fault_garbage(self, call):
        self.send(200, b"\x00\xff{{{ not json")

    def fault_html(self, call):
        self.send(502, b"<html><h1>502 Bad Gateway</h1></html>", kind="text/html")

    def fault_empty(self, call):
        self.send(200, {"choices": [], "candidates": [], "content": []})

    def fault_null(self, call):
        self.send(200, {"choices": [{"index": 0, "message": {"content": None}}],
                        "candidates": [{}], "content": []})

    def fault_wrong(self, call):
        self.send(200, {"hello": ["world", 1, None]})

    def fault_redirect(self, call):
        self.send(302, b"", {"Location": "http://127.0.0.1:9/elsewhere"})

    def fault_headers(self, call):
        self.transport.write(b"HTTP/1.1 200 OK\r\n")
        self.loop.create_task(self.write_many(b"X-Filler: " + b"x" * 1000 + b"\r\n", 200000))

    def fault_huge(self, call):
        piece = b" " * 65536
        size = int(call.options.get("size", 100 << 20))
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"Transfer-Encoding: chunked\r\n\r\n")
        self.loop.create_task(self.write_many(b"%x\r\n%s\r\n" % (len(piece), piece),
                                              size // len(piece), b"0\r\n\r\n"))

    def fault_drip(self, call):
        body = json.dumps(call.answer()).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"Content-Length: %d\r\n\r\n" % len(body))
        self.loop.create_task(self.drip(body))

    async def write_many(self, piece, times, end=b""):
        for _ in range(times):
            if self.transport.is_closing():
                return
            self.transport.write(piece)
            if self.paused:
                await self.paused.wait()
            else:
                await asyncio.sleep(0)
        self.transport.write(end)
        self.done()

    async def drip(self, body):
        for i in range(len(body)):
            if self.transport.is_closing():
                return
            self.transport.write(body[i:i + 1])
            await asyncio.sleep(0.02)
        self.done()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", ARGS.port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = loop.create_future()
    mode = os.fstat(0).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        # The end of standard input is the end of whoever started us.
        class Input(asyncio.Protocol):
            def connection_lost(self, exc):
                if not ended.done():
                    ended.set_result(None)

        await loop.connect_read_pipe(Input, sys.stdin)
    await ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--key", default="")
    ARGS = parser.parse_args()
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
