#!/usr/bin/env python3
"""Asks a real Prometheus, which scrapes a real gateway, every question of the Grafana dashboard and of the alert rules.

A question that Prometheus refuses fails, and so does one of the dashboard that has no answer: every metric is always exported, so
that a panel without data is a panel with a mistake. Alerts must be silent, and Prometheus must have loaded all of them.
Everything listens on 127.0.0.1 and ends with this script.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Long enough for several scrapes within the range of every rate.
SCRAPES, RANGE = 12, "10s"
PATIENCE_S, ANSWERS_S = 180, 60
# What a machine that does not run the gateway for some seconds brings about, as it is to; the others have another cause.
OF_SLOWNESS = {"GatewayDown", "ShardStuck", "FeedLost", "Lag"}


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


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def until(what, attempt):
    """What `attempt` returns, once it returns something."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if found := attempt():
                return found
        time.sleep(0.2)
    sys.exit(f"waited {PATIENCE_S} s for {what}")


def queries(dashboard):
    """Each panel's questions, and those of variables and annotations, as Grafana would ask them."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f'{panel["title"]} {target["refId"]}', target["expr"]
    for variable in dashboard["templating"]["list"]:
        # label_values(metric, label)
        yield variable["name"], re.match(r"label_values\((\w+),", variable["query"]["query"])[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, help="the gateway's binary")
    parser.add_argument("--prometheus", default="prometheus", help="Prometheus's binary")
    arguments = parser.parse_args()

    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def start(name, command):
            log = stack.enter_context(open(folder / f"{name}.log", "wb"))
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        listen, admin, port = free_ports(3)
        start("gateway", [arguments.gateway, "--listen", f"127.0.0.1:{listen}", "--admin-listen", f"127.0.0.1:{admin}"])
        until("the gateway", lambda: get(f"http://127.0.0.1:{admin}/readyz"))
        # Somebody to deliver to.
        start("tail", [arguments.gateway, "tail", "*.quote", "*.depth", "--url", f"ws://127.0.0.1:{listen}/v1/stream"])

        rules = ROOT / "deploy/prometheus/alerts.yaml"
        config = (ROOT / "deploy/compose/prometheus.yml").read_text()
        targets = re.compile(r"- targets:\n(?: +- gateway.*\n)+")
        config, replaced = targets.subn(f'- targets: ["127.0.0.1:{admin}"]\n', config)
        assert replaced == 1, "the compose file's targets are not where they were"
        config = config.replace("5s", "1s").replace("/etc/prometheus/alerts.yaml", str(rules))
        (folder / "prometheus.yml").write_text(config)
        start("prometheus", [
            arguments.prometheus, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
        ])
        api = f"http://127.0.0.1:{port}/api/v1"

        def answer(query):
            try:
                return json.loads(get(f"{api}/query?{urllib.parse.urlencode({'query': query})}"))
            except urllib.error.HTTPError as error:
                # It is too busy, or has only begun.
                if error.code == 503:
                    return None
                sys.exit(f"Prometheus refuses {query}: {error.read().decode()}")

        def ask(query):
            return until(f"an answer to {query}", lambda: answer(query))["data"]["result"]

        until("Prometheus", lambda: get(f"http://127.0.0.1:{port}/-/ready"))
        scraped = f'count_over_time(up{{instance="127.0.0.1:{admin}"}}[5m])'
        until("scrapes", lambda: any(float(one["value"][1]) >= SCRAPES for one in ask(scraped)))

        dashboard = json.loads((ROOT / "deploy/grafana/dashboards/tickcast.json").read_text())
        empty = [(name, query.replace("$__rate_interval", RANGE).replace("$instance", ".*")) for name, query in queries(dashboard)]
        asked = len(empty)
        # Where nothing was scraped for some seconds, a rate has no answer, and is asked for again.
        end = time.monotonic() + ANSWERS_S
        while empty and time.monotonic() < end:
            empty = [(name, query) for name, query in empty if all(one["value"][1] == "NaN" for one in ask(query))]
            time.sleep(1 if empty else 0)
        assert asked > 60, asked
        # Annotations mark what is rare: none is right.
        for annotation in dashboard["annotations"]["list"]:
            ask(annotation["expr"].replace("$instance", ".*"))

        groups = json.loads(until("the rules", lambda: get(f"{api}/rules")))["data"]["groups"]
        alerts = [rule for group in groups for rule in group["rules"]]
        wrong = [f'{rule["name"]}: {rule["lastError"]}' for rule in alerts if rule["health"] == "err"]
        firing = [rule["name"] for rule in alerts
                  if rule["state"] == "firing" or (rule["state"] == "pending" and rule["name"] not in OF_SLOWNESS)]
        declared = len(re.findall(r"^ *- alert: ", rules.read_text(), re.MULTILINE))
        print(f"{asked} questions of the dashboard, {len(empty)} without an answer; {len(alerts)} alerts, {len(firing)} not silent")
        if empty or wrong or firing or len(alerts) != declared:
            sys.exit("\n".join([*(f"{name}: {query}" for name, query in empty), *wrong, *firing, f"{declared} alerts are declared"]))


if __name__ == "__main__":
    main()
