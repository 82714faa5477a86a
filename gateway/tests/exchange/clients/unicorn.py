"""unicorn-binance-websocket-api, as it is installed from PyPI, against a gateway: `unicorn.py HOST:PORT SYMBOL`."""

import sys
import time

from unicorn_binance_websocket_api import BinanceWebSocketApiManager

PATIENCE_S = 90


def main(address: str, symbol: str) -> None:
    lower = symbol.lower()
    with BinanceWebSocketApiManager(
        exchange="binance.com",
        websocket_base_uri=f"ws://{address}/",
        restful_base_uri=f"http://{address}/",
        warn_on_update=False,
        output_default="dict",
    ) as manager:
        deadline = time.monotonic() + PATIENCE_S
        stream = manager.create_stream(["trade", "kline_1s", "bookTicker", "depth20@100ms"], [lower])
        # It names the array without an envelope, which is a list.
        array = manager.create_stream("arr", "!miniTicker")
        wait_for(manager, {f"{lower}@{one}" for one in ("trade", "kline_1s", "depth20@100ms")} | {"array"}, deadline)
        manager.subscribe_to_stream(stream, channels=["aggTrade"])
        wait_for(manager, {f"{lower}@aggTrade"}, deadline)
        manager.unsubscribe_from_stream(stream, channels=["trade"])
        while True:
            assert time.monotonic() < deadline, manager.get_results_from_endpoints()
            manager.get_stream_subscriptions(stream)
            answers = " ".join(str(one) for one in manager.get_results_from_endpoints())
            lists = [one for one in answers.split('{"result":') if one.startswith("[")]
            if lists and f"{lower}@trade" not in lists[-1] and f"{lower}@aggTrade" in lists[-1]:
                break
            time.sleep(1)
        assert not manager.get_errors_from_endpoints(), manager.get_errors_from_endpoints()
        for one in (stream, array):
            info = manager.get_stream_info(one)
            assert info["status"] == "running" and not info["logged_reconnects"], info


def wait_for(manager: BinanceWebSocketApiManager, wanted: set, deadline: float) -> None:
    while wanted:
        assert time.monotonic() < deadline, f"nothing came of {wanted}"
        event = manager.pop_stream_data_from_stream_buffer()
        if not event:
            time.sleep(0.01)
        elif isinstance(event, list):
            assert all(one["e"] == "24hrMiniTicker" for one in event), event
            wanted.discard("array")
        elif "stream" in event:
            wanted.discard(event["stream"])


main(sys.argv[1], sys.argv[2])
print("unicorn: all events came")
