"""What hand-written clients use: websocket-client, websockets, aiohttp and picows, as they are installed from PyPI,
against a gateway: `plain_sockets.py HOST:PORT SYMBOL`. They ping, offer compression, and name requests in every way."""

import asyncio
import json
import sys
import time

import aiohttp
import picows
import websocket
import websockets

PATIENCE_S = 60


def by_websocket_client(address: str, symbol: str) -> None:
    socket = websocket.create_connection(f"ws://{address}/ws", timeout=PATIENCE_S)

    def ask(method: str, params: list, name: object) -> object:
        socket.send(json.dumps({"method": method, "params": params, "id": name}))
        while True:
            answer = json.loads(socket.recv())
            if "e" not in answer:
                assert answer["id"] == name, answer
                return answer["result"]

    names = [f"{symbol}@trade", f"{symbol}@depth@100ms"]
    assert ask("SUBSCRIBE", names, None) is None
    assert ask("LIST_SUBSCRIPTIONS", [], "a text") == names
    assert ask("UNSUBSCRIBE", names[1:], -1) is None
    assert ask("LIST_SUBSCRIPTIONS", [], 2**63 - 1) == names[:1]
    assert ask("GET_PROPERTY", ["combined"], 0) is False
    # Five messages a second are allowed.
    time.sleep(1.5)
    socket.ping("payload")
    socket.pong("that nobody asked for")
    while True:
        opcode, frame = socket.recv_data_frame(True)
        if opcode == websocket.ABNF.OPCODE_PONG:
            assert frame.data == b"payload", frame
            break
        assert opcode == websocket.ABNF.OPCODE_TEXT, frame
    event = json.loads(socket.recv())
    assert event["e"] == "trade" and event["s"] == symbol.upper(), event
    socket.close()


async def by_websockets(address: str, symbol: str) -> None:
    url = f"ws://{address}/stream?streams={symbol}@depth5@100ms/{symbol}@trade&timeUnit=MICROSECOND"
    async with websockets.connect(url, ping_interval=0.5, ping_timeout=PATIENCE_S) as socket:
        wanted = {f"{symbol}@depth5@100ms", f"{symbol}@trade"}
        # Its latency is known when a ping of its own was answered.
        while wanted or socket.latency == 0:
            event = json.loads(await socket.recv())
            wanted.discard(event["stream"])
            if event["stream"].endswith("trade"):
                assert event["data"]["T"] > 10**15, event


async def by_aiohttp(address: str, symbol: str) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://{address}/ws/{symbol}@bookTicker"
        async with session.ws_connect(url, compress=15, heartbeat=1) as socket:
            assert socket.compress == 0, "compression is declined"
            last = 0
            for _ in range(50):
                best = await socket.receive_json()
                assert best["u"] >= last and float(best["b"]) < float(best["a"]), best
                last = best["u"]


async def by_picows(address: str, symbol: str) -> None:
    done = asyncio.get_running_loop().create_future()

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            request = {"id": 1, "params": [f"{symbol}@aggTrade"], "method": "SUBSCRIBE"}
            transport.send(picows.WSMsgType.TEXT, json.dumps(request).encode())
            self.texts: list[str] = []

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type == picows.WSMsgType.TEXT:
                self.texts.append(frame.get_payload_as_ascii_text())
            if len(self.texts) == 5 and not done.done():
                done.set_result(self.texts)

    transport, _ = await picows.ws_connect(Listener, f"ws://{address}/ws")
    answer, *events = await asyncio.wait_for(done, PATIENCE_S)
    assert answer == '{"result":null,"id":1}', answer
    ids = [json.loads(event)["a"] for event in events]
    assert ids == list(range(ids[0], ids[0] + len(ids))), ids
    transport.disconnect()


async def main(address: str, symbol: str) -> None:
    by_websocket_client(address, symbol)
    for check in (by_websockets, by_aiohttp, by_picows):
        await asyncio.wait_for(check(address, symbol), 2 * PATIENCE_S)


asyncio.run(main(sys.argv[1], sys.argv[2].lower()))
print("plain sockets: all events came")
