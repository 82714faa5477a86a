"""The description of routes, against a gateway: `openapi.py HOST:PORT SYMBOL`.

It is valid OpenAPI, and every path in it answers what its schema says, with the example of each parameter.
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate


def fetch(address: str, path: str) -> tuple[int, str, bytes]:
    for _ in range(60):
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
                kind = answer.headers.get_content_type()
                # A stream of events does not end.
                body = b"" if kind == "text/event-stream" else answer.read()
                return answer.status, kind, body
        except urllib.error.HTTPError as error:
            # It says itself that it is to be asked again.
            assert error.code == 503 and error.headers["Retry-After"], (path, error.code, error.read())
            time.sleep(1)
    raise AssertionError(f"{path}: never there")


def main(address: str, symbol: str) -> None:
    _, _, text = fetch(address, "/v1/openapi.json")
    described = json.loads(text)
    validate(described)
    checked = 0
    for path, operations in described["paths"].items():
        operation = operations["get"]
        for only_required in (True, False):
            query = {}
            target = path
            for parameter in operation.get("parameters", []):
                example = parameter.get("example")
                value = example.replace("BTCUSDT", symbol) if isinstance(example, str) else example
                if parameter["in"] == "path":
                    target = target.replace("{" + parameter["name"] + "}", value)
                elif parameter.get("required") or (not only_required and value is not None):
                    query[parameter["name"]] = value
            if path in ("/api/v3/ticker", "/api/v3/ticker/tradingDay"):
                query["symbol"] = symbol
            url = target + ("?" + urllib.parse.urlencode(query) if query else "")
            for _ in range(60):
                status, kind, body = fetch(address, url)
                content = operation["responses"][str(status)]["content"]
                assert kind in content, (url, kind)
                if kind == "application/json":
                    schema = {**content[kind]["schema"], "components": described["components"]}
                    Draft202012Validator(schema).validate(json.loads(body))
                checked += 1
                if status == 200:
                    break
                # It is being gathered, and is to be asked for again.
                time.sleep(1)
            else:
                raise AssertionError(f"{url}: never there")
    print(f"{checked} requests answered as described")


if __name__ == "__main__":
    main(*sys.argv[1:])
