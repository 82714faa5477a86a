"""Bytes and CPU of a delivery in each format: one gateway, clients that read and throw away.

    python3 measure.py GATEWAY SHAPE [ROUNDS] [SECONDS]

SHAPE is 1 or 2: one topic for each connection, or ten. In each round, for each format: starts the gateway with evenly
paced quotes, opens the connections, lets them run, and divides the gateway's CPU time, less that of a gateway without
connections in the same round, and its bytes by its own count of deliveries. Formats take turns, so that what else
happens on the machine happens to all of them; what is printed are medians of the rounds, and the least and the most.
"""

import json
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.request

UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)

# Name, connections, symbols of each, ticks a second in all, further arguments.
SHAPES = [
    ("one topic each, as they come", 200, 1, 1000, []),
    ("ten topics each, a message every 10 ms", 200, 10, 5000, ["--visit-interval", "10ms"]),
]
FORMATS = ["native SBE", "exchange SBE", "raw JSON", "combined JSON"]
NOBODY = "nobody"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def text_frame(text):
    payload = text.encode()
    assert len(payload) < 65536
    head = bytes([0x81, 0x80 | len(payload)]) if len(payload) < 126 else (
        bytes([0x81, 0xFE]) + struct.pack(">H", len(payload)))
    return head + b"\0\0\0\0" + payload


def connect(port, form, symbols):
    path, more, first = {
        "native SBE": ("/v1/stream", "Sec-WebSocket-Protocol: tickcast.v1.sbe\r\n", json.dumps(
            {"op": "subscribe", "topics": [f"{name}.quote" for name in symbols]})),
        "exchange SBE": ("/stream-sbe/ws/" + "/".join(f"{s.lower()}@bestBidAsk" for s in symbols), "", None),
        "raw JSON": ("/ws/" + "/".join(f"{s.lower()}@bookTicker" for s in symbols), "", None),
        "combined JSON": ("/stream?streams=" + "/".join(f"{s.lower()}@bookTicker" for s in symbols), "", None),
    }[form]
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(UPGRADE.format(path=path, more=more).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    if first:
        client.sendall(text_frame(first))
    return client


def metrics(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    found = {}
    for line in text.splitlines():
        name = line.split("{")[0].split(" ")[0]
        if name in ("tickcast_deliveries_total", "tickcast_bytes_total", "tickcast_visits_total"):
            found[name] = found.get(name, 0.0) + float(line.rsplit(" ", 1)[1])
    return found


def cpu_seconds(pid):
    """What all threads have run so far, kernel work for their sends included; ns resolution."""
    run_ns = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        run_ns += int(open(f"/proc/{pid}/task/{thread}/schedstat").read().split()[0])
    return run_ns / 1e9


def drain(clients, stop):
    poll = select.epoll()
    by_fd = {client.fileno(): client for client in clients}
    for client in clients:
        client.setblocking(False)
        poll.register(client.fileno(), select.EPOLLIN)
    buffer = bytearray(1 << 16)
    while not stop.is_set():
        for fd, _ in poll.poll(0.05):
            try:
                by_fd[fd].recv_into(buffer)
            except BlockingIOError:
                pass


def run(gateway, form, shape, seconds):
    _, count, topics, rate, more = shape
    listen, admin = free_port(), free_port()
    process = subprocess.Popen(
        [gateway, "--source", "pulse", "--symbols", "10", "--rate", str(rate), "--shards", "1", "--exchange-connections",
         "0", "--listen", f"127.0.0.1:{listen}", "--admin-listen", f"127.0.0.1:{admin}", *more],
        stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.05)
            try:
                listed = json.load(urllib.request.urlopen(f"http://127.0.0.1:{listen}/v1/instruments"))
                if listed["instruments"]:
                    break
            except OSError:
                pass
        names = [instrument["s"] for instrument in listed["instruments"]]
        count = 0 if form == NOBODY else count
        clients = [
            connect(listen, form, names if topics > 1 else [names[n % len(names)]]) for n in range(count)]
        stop = threading.Event()
        reader = threading.Thread(target=drain, args=(clients, stop))
        reader.start()
        time.sleep(0.4)
        before, cpu = metrics(admin), cpu_seconds(process.pid)
        time.sleep(seconds)
        after, cpu = metrics(admin), cpu_seconds(process.pid) - cpu
        stop.set()
        reader.join()
        gone = {name: after[name] - before[name] for name in after}
        return gone, cpu
    finally:
        process.kill()
        process.wait()


def main():
    gateway, shape = sys.argv[1], SHAPES[int(sys.argv[2]) - 1]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 1.2
    found = {form: [] for form in FORMATS}
    for _ in range(rounds):
        _, idle = run(gateway, NOBODY, shape, seconds)
        for form in FORMATS:
            gone, cpu = run(gateway, form, shape, seconds)
            deliveries = gone["tickcast_deliveries_total"]
            found[form].append((
                gone["tickcast_bytes_total"] / deliveries, (cpu - idle) / deliveries * 1e6,
                deliveries / gone["tickcast_visits_total"], deliveries / seconds))
    print(f"{shape[0]}; {rounds} rounds of {seconds} s")
    for form in FORMATS:
        size, cpu, per_visit, rate = (statistics.median(column) for column in zip(*found[form]))
        costs = [one[1] for one in found[form]]
        print(f"  {form:14} {size:6.1f} bytes  {cpu:6.3f} us CPU ({min(costs):.3f} to {max(costs):.3f})"
              f"  {per_visit:5.2f} a visit  {rate:8.0f} a second")


main()
