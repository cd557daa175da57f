"""Calls a greeter through the sidecar, with Python's standard library alone. The
sidecar is MBUS_SIDECAR, by default http://127.0.0.1:8081.

    python3 sidecar_client.py [NAME [SERVICE]]
"""

import json
import os
import sys
import urllib.error
import urllib.request

SIDECAR = os.environ.get("MBUS_SIDECAR") or "http://127.0.0.1:8081"
name, service = (sys.argv[1:] + ["John", "go.micro.srv.greeter"][len(sys.argv) - 1:])[:2]

call = {"service": service, "method": "Say.Hello", "request": {"name": name}}
request = urllib.request.Request(SIDECAR + "/rpc", json.dumps(call).encode(), {"Content-Type": "application/json"})
try:
    with urllib.request.urlopen(request, timeout=10) as response:
        print(json.load(response)["msg"])
except urllib.error.HTTPError as e:
    failure = json.load(e)
    sys.exit(f"{failure['id']}: {e.code}: {failure['detail']}")
except OSError as e:
    sys.exit(f"the sidecar is away: {e}")
