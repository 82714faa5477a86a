#!/usr/bin/env python3
"""Runs Autobahn's WebSocket test suite against a real gateway, alone and behind nginx, and judges it.

    autobahn.py --gateway BINARY --wstest PROGRAM [--table FILE]

Two things are tested. The echo route, which only `--test-echo` opens, must pass every case; those that the
suite calls non-strict are named below with the reason. The push endpoint speaks first and does not echo,
so that only the end of a case can be judged there: whoever breaks the protocol is closed as RFC 6455 says.

Exit status: 0 if all is as it should be, 1 if a case is not, 2 if something could not be started.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

# Groups 9 (speed) and 12, 13 (permessage-deflate, which is declined) are not run.
ECHO_CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]

# Cases in which the client breaks the protocol or closes, so that no echo is awaited.
PUSH_CASES = ["2.5", "3.*", "4.*", "5.1", "5.2", "5.9", "5.10", "5.11", "5.12", "5.13", "5.14", "5.16", "5.17",
              "5.18", "6.3.*", "6.4.*", "6.8.*", "6.10.*", "6.12.*", "6.14.*", "6.16.*", "6.18.*", "6.20.*", "6.21.*",
              "7.1.2", "7.1.3", "7.1.4", "7.1.5", "7.3.*", "7.5.*", "7.7.*", "7.9.*"]

# The suite would like a text that is not UTF-8 to be refused in the middle of a frame; here frames are read
# whole, and refused then. RFC 6455 section 8.1 leaves that to the endpoint.
NON_STRICT = {"6.4.3", "6.4.4"}

# What the suite only reports: there is no right or wrong.
PASSED = {"OK", "INFORMATIONAL"}

NGINX = """
daemon off; master_process off; worker_processes 1; error_log stderr error; pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{gateway};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $host;
            proxy_buffering off;
        }}
    }}
}}
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--gateway", required=True, help="the gateway's binary")
    arguments.add_argument("--wstest", required=True, help="Autobahn's program")
    arguments.add_argument("--table", type=pathlib.Path, help="where to write the table of results")
    options = arguments.parse_args()
    rows, complaints = [], []
    with tempfile.TemporaryDirectory(prefix="tickcast-autobahn-") as folder:
        folder = pathlib.Path(folder)
        port, admin, front = free_ports(3)
        servers = [
            start([options.gateway, "--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}",
                   "--source", "pulse", "--symbols", "1", "--rate", "1", "--test-echo"], port),
        ]
        try:
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=front, gateway=port))
            servers.append(start([nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf")], front))
            for way, at in (("direct", port), ("nginx", front)):
                for route, cases, judge in (("/v1/echo", ECHO_CASES, of_echo), ("/v1/stream", PUSH_CASES, of_push)):
                    results = judged(options.wstest, folder, f"ws://127.0.0.1:{at}{route}", cases, judge)
                    rows.append((route, way, results, judge))
                    complaints += [f"{route} {way}: case {case}: {what}"
                                   for case, result in results.items() if (what := judge(case, result))]
        finally:
            for server in servers:
                server.terminate()
                server.wait()
    table = "\n".join(lines(rows)) + "\n"
    print(table)
    if options.table:
        options.table.write_text(table)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def of_echo(case, result):
    """What is wrong with a case of the echo route; `None`: nothing."""
    allowed = PASSED | ({"NON-STRICT"} if case in NON_STRICT else set())
    if result["behavior"] not in allowed or result["behaviorClose"] not in PASSED:
        return f"{result['behavior']}, close {result['behaviorClose']}"
    return None


def of_push(_case, result):
    """What is wrong with the end of a case on the push endpoint; `None`: nothing."""
    if result["behaviorClose"] not in PASSED:
        return f"close {result['behaviorClose']}, code {result['remoteCloseCode']}"
    return None


def judged(wstest, folder, url, cases, judge):
    """The suite's results for one URL, by case. It waits for a second or so in each: what a busy machine was too slow for is asked
    again, twice at most; a mistake stays one."""
    results = run(wstest, folder, url, cases)
    for _ in range(2):
        if again := [case for case, result in results.items() if judge(case, result)]:
            print(f"once more: {url} {' '.join(again)}", file=sys.stderr)
            results |= run(wstest, folder, url, again)
    return results


def run(wstest, folder, url, cases):
    """The suite's results for one URL, by case."""
    reports = pathlib.Path(tempfile.mkdtemp(dir=folder))
    spec = {"outdir": str(reports), "servers": [{"agent": "Tickcast", "url": url}], "cases": cases,
            "exclude-cases": [], "exclude-agent-cases": {}}
    (reports / "spec.json").write_text(json.dumps(spec))
    suite = subprocess.run([wstest, "-m", "fuzzingclient", "-s", str(reports / "spec.json")], cwd=reports,
                           capture_output=True, text=True, timeout=1200)
    index = reports / "index.json"
    results = json.loads(index.read_text()).get("Tickcast", {}) if index.exists() else {}
    if suite.returncode != 0 or not results:
        fail(f"the suite did not run against {url}:\n{suite.stdout[-2000:]}{suite.stderr[-2000:]}")
    return results


def lines(rows):
    """The table of results, a line for each group of cases."""
    yield "| route | way | group | cases | passed | non-strict | failed |"
    yield "|---|---|---|---|---|---|---|"
    for route, way, results, judge in rows:
        groups = collections.defaultdict(collections.Counter)
        for case, result in results.items():
            is_bad = judge(case, result) is not None
            is_lax = judge is of_echo and result["behavior"] == "NON-STRICT"
            groups[int(case.split(".")[0])]["failed" if is_bad else "lax" if is_lax else "passed"] += 1
        for group, count in sorted(groups.items()):
            yield (f"| `{route}` | {way} | {group} | {sum(count.values())} | {count['passed']} | "
                   f"{count['lax']} | {count['failed']} |")


def start(command, port):
    """A server that takes connections at a port."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.05)
    server.kill()
    fail(f"{command[0]} does not listen on port {port}:\n{server.communicate()[1][-2000:]}")


def nginx():
    """Debian keeps servers where only administrators look."""
    for folder in ("/usr/sbin", "/usr/local/sbin", "/usr/bin"):
        if pathlib.Path(folder, "nginx").exists():
            return f"{folder}/nginx"
    fail("nginx is missing")


def free_ports(count):
    """Ports that nothing listens on, below those that the system gives to whoever connects or asks for any."""
    found, port = [], 20_000 + os.getpid() * 97 % 12_000
    while len(found) < count:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        port = 20_000 + (port - 19_999) % 12_000
    return found


def fail(why):
    print(f"autobahn.py: {why}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    sys.exit(main())
