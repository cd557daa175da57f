"""The greeter as a service on the bus, with Python's standard library alone.

It speaks NATS' text protocol and what docs/protocol.md asks of a service: it
takes calls in the plain spelling, answers the services API, announces itself,
beats, and leaves without losing a call. The broker is MBUS_URL, by default
nats://127.0.0.1:4222.

    python3 native_server.py
    mbus query python.micro.srv.greeter Say.Hello '{"name":"John"}'
"""

import asyncio
import base64
import hashlib
import json
import os
import random
import secrets
import signal
import sys
import time
from datetime import datetime, timezone
from urllib.parse import urlsplit

NAME = "python.micro.srv.greeter"
VERSION = "1.0.0"
ID = secrets.token_hex(11)  # letters and digits need no escape in a subject
TOKEN = NAME.replace("_", "__").replace(".", "_")
NODE = f"{NAME}-{ID}"
SILENCE = 5  # seconds without a word after which the broker is asked


def schema(title, fields):
    """Returns a JSON Schema and the hash that names it on the bus."""
    body = json.dumps({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title, "type": "object",
        "properties": {field: {"type": kind} for field, kind in fields.items()},
    }, separators=(",", ":"))
    digest = base64.b32encode(hashlib.sha256(body.encode()).digest()).decode()
    return digest.lower()[:20], json.loads(body)


REQUEST, REQUEST_SCHEMA = schema("HelloRequest", {"name": "string"})
RESPONSE, RESPONSE_SCHEMA = schema("HelloResponse", {"msg": "string"})

# The Debug methods are for people and tools: health, counters, schemas.
ENDPOINTS = [{"name": "Say.Hello", "request": REQUEST, "response": RESPONSE},
             {"name": "Debug.Health"}, {"name": "Debug.Stats"}, {"name": "Debug.Schema"}]


class Refusal(Exception):
    """An error that the caller gets, with its code and its HTTP number."""

    def __init__(self, code, status, message):
        super().__init__(message)
        self.code, self.status = code, status


def hello(request):
    if not isinstance(request.get("name", ""), str):
        raise Refusal("invalid_argument", 400, "name is not a string")
    return {"msg": f"{NODE}: Hello {request.get('name', '')}"}


class Greeter:
    """One instance: it keeps its id over any number of connections."""

    def __init__(self):
        self.started = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        self.began = time.monotonic()
        self.rev, self.pace, self.state = 0, 2.0, ""
        self.stats = {"requests": 0, "errors": 0, "last": "", "ns": 0}
        self.stopping = asyncio.Event()
        self.methods = {"Say.Hello": hello, "Debug.Health": self.health,
                        "Debug.Stats": self.debug_stats, "Debug.Schema": self.schemas}

    # What the service is.

    def metadata(self):
        # Without msgpack in its codecs a service is called plainly, in JSON.
        return {"mbus.v": "1", "mbus.name": NAME, "mbus.version": VERSION, "mbus.codecs": "json"}

    def answer(self, verb):
        a = {"name": TOKEN, "id": ID, "version": VERSION, "metadata": self.metadata(),
             "type": f"io.nats.micro.v1.{verb.lower()}_response"}
        if verb == "INFO":
            a["description"] = "Says hello, in Python."
            a["endpoints"] = [{
                "name": e["name"].replace(".", "_"), "subject": f"mbus.rpc.{TOKEN}.{e['name']}", "queue_group": "q",
                "metadata": {"mbus.method": e["name"], "mbus.kind": "unary"} | {
                    "mbus." + k: e[k] for k in ("request", "response") if k in e}} for e in ENDPOINTS]
        if verb == "STATS":
            s = self.stats
            a["started"] = self.started
            a["endpoints"] = [{
                "name": "Say_Hello", "subject": f"mbus.rpc.{TOKEN}.Say.Hello", "queue_group": "q",
                "num_requests": s["requests"], "num_errors": s["errors"], "last_error": s["last"],
                "processing_time": s["ns"], "average_processing_time": s["ns"] // max(1, s["requests"])}]
        return a

    def announcement(self):
        a = {"v": 1, "name": NAME, "id": ID, "version": VERSION, "codecs": ["json"],
             "endpoints": ENDPOINTS,
             "server": self.info["server_id"], "client": self.info["client_id"],
             "rev": self.rev, "interval": int(self.pace * 1000), "started": self.started}
        return a | ({"state": self.state} if self.state else {})

    def health(self, _):
        return {"status": self.state or "ok"}

    def debug_stats(self, _):
        s = self.stats
        return {"started": int(time.time() - (time.monotonic() - self.began)),
                "uptime": int(time.monotonic() - self.began),
                "endpoints": [{"name": "Say.Hello", "requests": s["requests"], "errors": s["errors"],
                               "last_error": s["last"], "processing": s["ns"]}]}

    def schemas(self, request):
        known = {REQUEST: REQUEST_SCHEMA, RESPONSE: RESPONSE_SCHEMA}
        wanted = request.get("hashes") or list(known)
        return {"schemas": {h: known[h] for h in wanted if h in known}}

    # The life of the service.

    async def run(self):
        """Serves until it is told to stop, through any number of brokers."""
        wait = 0.1
        while not self.stopping.is_set():
            try:
                await self.connect()
                wait = 0.1
                await self.serve()
            except (OSError, asyncio.IncompleteReadError, ValueError) as e:
                print(f"greeter: the broker is away: {e}", file=sys.stderr, flush=True)
                try:
                    await asyncio.wait_for(self.stopping.wait(), wait * random.uniform(0.5, 1))
                except asyncio.TimeoutError:
                    wait = min(wait * 2, 2)

    async def connect(self):
        url = urlsplit(os.environ.get("MBUS_URL") or "nats://127.0.0.1:4222")
        self.reader, self.writer = await asyncio.open_connection(url.hostname, url.port or 4222, limit=1 << 20)
        verb, info = (await self.reader.readline()).split(b" ", 1)
        if verb != b"INFO":
            raise ValueError(f"the broker began with {verb!r}")
        self.info = json.loads(info)
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "protocol": 1, "lang": "python", "version": "1", "name": NAME}
        if url.username:
            options |= {"user": url.username, "pass": url.password or ""}
        self.pongs, self.subscriptions = [], {}
        self.write(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        self.rev, self.heard = self.rev + 1, time.monotonic()
        for subject, queue, f in [
            (f"mbus.node.{TOKEN}.{ID}.>", "", self.call),
            *((f"mbus.rpc.{TOKEN}.{e['name']}", " q", self.call) for e in ENDPOINTS),
            *((f"$SRV.{verb}{rest}", "", self.service) for verb in ("PING", "INFO", "STATS")
              for rest in ("", f".{TOKEN}", f".{TOKEN}.{ID}")),
            *((f"mbus.probe{rest}", "", self.probe) for rest in ("", f".{TOKEN}", f".{TOKEN}.{ID}")),
            ("mbus.registry.pace", "", self.hear_pace),
        ]:
            sid = len(self.subscriptions) + 1
            self.subscriptions[sid] = f
            self.write(f"SUB {subject}{queue} {sid}\r\n".encode())
        self.announce("up", self.announcement())
        self.write(b"PING\r\n")

    async def serve(self):
        """Reads and beats until the connection ends or a stop is asked for."""
        stopping = asyncio.create_task(self.stopping.wait())
        work = [asyncio.create_task(f()) for f in (self.read, self.beat, self.watch)]
        try:
            done, _ = await asyncio.wait([stopping, *work], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()  # raises why the connection is over
            work.append(asyncio.create_task(self.leave()))
            await asyncio.wait([work[0], work[-1]], timeout=5, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopping, *work):
                task.cancel()
            await asyncio.gather(stopping, *work, return_exceptions=True)
            self.writer.close()

    async def leave(self):
        """Says that it drains, ends its subscriptions, answers what has come."""
        self.state, self.rev = "draining", self.rev + 1
        self.announce("drain", {"reason": "stopping", "rev": self.rev})
        for sid, handle in self.subscriptions.items():
            if handle == self.call:
                self.write(f"UNSUB {sid}\r\n".encode())
        await self.round_trip()  # before its PONG come the last calls
        self.announce("down", {"reason": "stopped"})
        await self.round_trip()

    async def round_trip(self):
        waiter = asyncio.Event()
        self.pongs.append(waiter)
        self.write(b"PING\r\n")
        await waiter.wait()

    async def watch(self):
        """Cuts a connection whose other end has gone without a word."""
        while True:
            await asyncio.sleep(SILENCE / 2)
            silent = time.monotonic() - self.heard
            if silent > 2 * SILENCE:
                raise OSError("it says nothing any more")
            if silent > SILENCE:
                self.write(b"PING\r\n")

    async def beat(self):
        wait = random.random() * self.pace
        while True:
            await asyncio.sleep(wait)
            self.announce("beat", {"r": self.rev, "l": 0, "f": 0, "i": int(self.pace * 1000)})
            wait = self.pace * random.uniform(0.9, 1.1)

    async def read(self):
        while True:
            line = await self.reader.readline()
            if not line:
                raise OSError("it has closed the connection")
            self.heard = time.monotonic()
            words = line.split()
            verb = words[0].upper() if words else b""
            if verb == b"PING":
                self.write(b"PONG\r\n")
            elif verb == b"PONG":
                for waiter in self.pongs:
                    waiter.set()
            elif verb == b"INFO":
                self.info |= json.loads(line[5:])
            elif verb == b"-ERR":
                raise OSError(line.decode(errors="replace").strip())
            elif verb in (b"MSG", b"HMSG"):
                size = int(words[-1])
                head = int(words[-2]) if verb == b"HMSG" else 0
                data = (await self.reader.readexactly(size + 2))[:size]
                fixed = 5 if head else 4
                reply = words[3].decode() if len(words) > fixed else ""
                handle = self.subscriptions.get(int(words[2]))
                if handle:
                    handle(words[1].decode(), reply, data[:head], data[head:])

    def write(self, data):
        self.writer.write(data)

    def publish(self, subject, body, header=b""):
        if header:
            header = b"NATS/1.0\r\n" + header + b"\r\n"
            self.write(f"HPUB {subject} {len(header)} {len(header) + len(body)}\r\n".encode() + header + body + b"\r\n")
        else:
            self.write(f"PUB {subject} {len(body)}\r\n".encode() + body + b"\r\n")

    def announce(self, event, body):
        self.publish(f"mbus.announce.{TOKEN}.{ID}.{event}", json.dumps(body).encode())

    # What comes from the bus.

    def call(self, subject, reply, header, body):
        if not reply.startswith("_"):
            return  # an answer could go where the caller may not publish
        prefix = f"mbus.rpc.{TOKEN}." if subject.startswith("mbus.rpc.") else f"mbus.node.{TOKEN}.{ID}."
        method, began = subject.removeprefix(prefix), time.monotonic_ns()
        try:
            result = self.handle(method, header, body)
            failure = None
        except Refusal as e:
            failure = e
        except Exception as e:  # the caller learns no more than this
            print(f"greeter: {method}: {e!r}", file=sys.stderr, flush=True)
            failure = Refusal("internal", 500, "the handler failed")
        if method == "Say.Hello":
            self.stats["requests"] += 1
            self.stats["ns"] += time.monotonic_ns() - began
            if failure:
                self.stats["errors"] += 1
                self.stats["last"] = f"{failure.code}: {failure}"
        if failure:
            message = " ".join(str(failure).split())
            self.publish(reply, b"", (
                f"Nats-Service-Error: {message}\r\nNats-Service-Error-Code: {failure.status}\r\n"
                f"Mbus-Error: {failure.code}\r\nMbus-Retry: never\r\n").encode())
        else:
            # Compact, as the bytes are that a schema's hash is of.
            self.publish(reply, json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode())

    def handle(self, method, header, body):
        fields = dict(line.split(": ", 1) for line in header.decode().split("\r\n") if ": " in line)
        kind = fields.get("Content-Type", "application/json").split(";")[0]
        if kind != "application/json" or (body[:1] == b"\xc1" and "Content-Type" not in fields):
            raise Refusal("unimplemented", 501, "this service takes JSON in the plain spelling")
        if fields.get("Mbus-Timeout") == "0":
            raise Refusal("deadline_exceeded", 504, "no time is left")
        if method not in self.methods:
            raise Refusal("not_found", 404, f"no method {method}; there is {', '.join(sorted(self.methods))}")
        try:
            request = json.loads(body or b"{}")
        except (ValueError, RecursionError) as e:
            raise Refusal("invalid_argument", 400, f"the request is no JSON: {e}") from None
        if not isinstance(request, dict):
            raise Refusal("invalid_argument", 400, "the request is no JSON object")
        return self.methods[method](request)

    def service(self, subject, reply, _header, _body):
        if reply.startswith("_"):
            self.publish(reply, json.dumps(self.answer(subject.split(".")[1])).encode())

    def probe(self, subject, reply, _header, body):
        if not reply.startswith("_"):
            return
        try:
            spread = json.loads(body[:256]).get("spread_ms", 0) / 1000
        except (ValueError, AttributeError, TypeError):
            spread = 0
        if subject.endswith("." + ID):
            spread = 0
        answer = json.dumps(self.announcement()).encode()
        asyncio.get_running_loop().call_later(random.random() * min(max(spread, 0), 1), self.publish, reply, answer)

    def hear_pace(self, _subject, _reply, _header, body):
        try:
            self.pace = min(max(json.loads(body)["beat_ms"] / 1000, 2), 300)
        except (ValueError, KeyError, TypeError):
            pass  # a pace that cannot be read changes nothing


async def main():
    greeter = Greeter()
    loop = asyncio.get_running_loop()
    for s in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(s, greeter.stopping.set)
    print(NODE, flush=True)
    await greeter.run()


asyncio.run(main())
