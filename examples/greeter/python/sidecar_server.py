"""The greeter as a small JSON-RPC server that the sidecar puts on the bus, with
Python's standard library alone. The sidecar is MBUS_SIDECAR, by default
http://127.0.0.1:8081.

    python3 sidecar_server.py
    mbus query python.micro.srv.greeter Say.Hello '{"name":"John"}'
"""

import json
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "python.micro.srv.greeter"
NODE = f"{NAME}-{uuid.uuid4()}"
SIDECAR = os.environ.get("MBUS_SIDECAR") or "http://127.0.0.1:8081"
RENEW = 10  # seconds between registrations, so that a registry that was lost knows it again


def hello(request):
    return {"msg": f"{NODE}: Hello {request.get('name', '')}"}


METHODS = {"Say.Hello": hello}


class Handler(BaseHTTPRequestHandler):
    """Answers {"method", "params": [request], "id"} with {"id", "result", "error"}."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        answer = {"id": None, "result": None, "error": None}
        try:
            call = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            answer["id"] = call["id"]
            answer["result"] = METHODS[call["method"]](call["params"][0])
        except KeyError as e:
            answer["error"] = f"there is no {e}"
        except Exception as e:
            answer["error"] = str(e)
        body = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def registry(verb):
    """Tells the sidecar that this server is there, or that it is not."""
    host, port = server.server_address
    value = lambda name, field: {"name": name, "type": name, "values": [{"name": field, "type": "string"}]}
    service = {
        "name": NAME, "version": "1.0.0",
        "nodes": [{"id": NODE, "address": host, "port": port}],
        "endpoints": [{"name": "Say.Hello", "request": value("HelloRequest", "name"), "response": value("HelloResponse", "msg")}],
    }
    request = urllib.request.Request(SIDECAR + "/registry", json.dumps(service).encode(), {"Content-Type": "application/json"}, method=verb)
    try:
        urllib.request.urlopen(request, timeout=5).read()
        return True
    except urllib.error.HTTPError as e:
        print(f"greeter: {verb} /registry: {e}: {e.read().decode()}", file=sys.stderr, flush=True)
    except OSError as e:
        print(f"greeter: the sidecar is away: {e}", file=sys.stderr, flush=True)
    return False


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
stop = threading.Event()
for s in (signal.SIGINT, signal.SIGTERM):
    signal.signal(s, lambda *_: stop.set())
print(NODE, flush=True)
while not stop.is_set():
    stop.wait(RENEW if registry("POST") else 0.5)
registry("DELETE")
server.shutdown()
