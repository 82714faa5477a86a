"""What deriving costs: CPU time of the feed, and of what reads it, with nothing, some and everything derived.

    python3 measure.py feed FEED_SIM [ROUNDS]
    python3 measure.py gateway GATEWAY [ROUNDS] [SECONDS]

`feed`: a feed whose market began an hour ago makes what it missed as fast as it can; CPU time, ticks and the market's own
time between two of its lines of progress. `gateway`: CPU time of each thread while the market goes on in real time,
nobody connected. Settings take turns, round by round; what is printed are medians.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

FLAGS = {
    "none": ["--bars", "none", "--ticker", "off", "--derive", "none"],
    "charts": ["--bars", "1s,1m,5m,15m,1h,4h,1d", "--derive", "none"],
    "all": [],
}
MARKETS = [(20, 2_000), (500, 20_000)]
LINE = re.compile(r"^(\d+) ticks.* at (\d+):(\d+):(\d+)")


def threads(pid):
    """CPU time by thread name, s."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{thread}"
        name = open(f"{folder}/comm").read().strip()
        found[name] = found.get(name, 0.0) + int(open(f"{folder}/schedstat").read().split()[0]) / 1e9
    return found


def feed(binary, symbols, rate, flags):
    path = f"/dev/shm/tickcast-derived-{os.getpid()}"
    process = subprocess.Popen(
        [binary, "--out", f"shm:{path}", "--symbols", str(symbols), "--rate", str(rate), "--seed", "1", "--epoch", "7",
         "--start-at", str(int(time.time()) - 3600), "--progress", *flags], stderr=subprocess.PIPE, text=True)
    try:
        seen = []
        for line in process.stderr:
            found = LINE.match(line)
            if found:
                ticks, hours, minutes, seconds = (int(group) for group in found.groups())
                market = hours * 3600 + minutes * 60 + seconds
                seen.append((sum(threads(process.pid).values()), ticks, market))
            if len(seen) == 4:
                break
        (cpu, ticks, market) = (last - first for first, last in zip(seen[0], seen[-1]))
        return cpu / market * 1e3, ticks / market, cpu / ticks * 1e9
    finally:
        process.kill()
        process.wait()
        os.unlink(path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ticks_taken(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("tickcast_ticks_total"))


def gateway(binary, symbols, rate, derive, seconds):
    admin = free_port()
    process = subprocess.Popen(
        [binary, "--symbols", str(symbols), "--rate", str(rate), "--shards", "1", "--derive", derive,
         "--listen", f"127.0.0.1:{free_port()}", "--admin-listen", f"127.0.0.1:{admin}"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.1)
            try:
                if ticks_taken(admin) > 0:
                    break
            except OSError:
                pass
        time.sleep(0.5)
        before, ticks = threads(process.pid), ticks_taken(admin)
        time.sleep(seconds)
        after = threads(process.pid)
        ticks = ticks_taken(admin) - ticks
        return {name: (after[name] - before.get(name, 0.0)) / seconds * 1e3 for name in after}, ticks / seconds
    finally:
        process.kill()
        process.wait()


def main():
    what, binary = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 1.5
    found = {}
    for _ in range(rounds):
        for symbols, rate in MARKETS:
            for derive, flags in FLAGS.items():
                one = feed(binary, symbols, rate, flags) if what == "feed" else gateway(
                    binary, symbols, rate, derive, seconds)
                found.setdefault((symbols, rate, derive), []).append(one)
    for (symbols, rate, derive), results in found.items():
        print(f"{symbols} symbols at {rate} a second, {derive}:")
        if what == "feed":
            cpu, ticks, each = (statistics.median(column) for column in zip(*results))
            print(f"    {cpu:.3f} ms CPU for a second of the market, {ticks:.0f} ticks in it, {each:.0f} ns each")
            continue
        ticks = statistics.median(result[1] for result in results)
        names = sorted(set().union(*(result[0] for result in results)))
        costs = {name: statistics.median(result[0].get(name, 0.0) for result in results) for name in names}
        shown = ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items() if cost >= 0.01)
        print(f"    {ticks:.0f} ticks a second; ms CPU a second: {shown}; together {sum(costs.values()):.2f}")


main()
