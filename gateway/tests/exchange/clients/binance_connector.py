"""binance-connector, the exchange's former client, as it is installed from PyPI, against a gateway:
`binance_connector.py HOST:PORT SYMBOL`."""

import json
import queue
import sys
import time

from binance.error import ClientError
from binance.spot import Spot
from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient

PATIENCE_S = 90


def main(address: str, symbol: str) -> None:
    check_rest(Spot(base_url=f"http://{address}"), symbol)
    check_streams(f"ws://{address}", symbol.lower())


def check_rest(client: Spot, symbol: str) -> None:
    assert client.ping() == {} and client.time()["serverTime"] > 0
    info = client.exchange_info(symbols=[symbol])
    assert [one["symbol"] for one in info["symbols"]] == [symbol], info
    assert len(client.depth(symbol, limit=5)["bids"]) == 5
    assert len(client.trades(symbol, limit=3)) == 3
    assert client.agg_trades(symbol, limit=1)[0]["M"] is True
    day = client.klines(symbol, "1d", timeZone="8")[-1]
    assert (day[0] + 8 * 3_600_000) % 86_400_000 == 0 and day[6] == day[0] + 86_399_999, day
    assert client.avg_price(symbol)["mins"] == 5
    assert float(client.ticker_24hr(symbol, type="MINI")["lastPrice"]) > 0
    assert [one["symbol"] for one in client.ticker_price(symbols=[symbol])] == [symbol]
    best = client.book_ticker(symbol)
    assert float(best["bidPrice"]) < float(best["askPrice"]), best
    assert client.rolling_window_ticker(symbol, windowSize="1h")["count"] > 0
    assert client.trading_day_ticker(symbol=symbol)["count"] > 0
    try:
        client.depth("NOPE")
        raise AssertionError("there is no such symbol")
    except ClientError as error:
        assert (error.status_code, error.error_code) == (400, -1121), error


def check_streams(url: str, symbol: str) -> None:
    came: queue.Queue = queue.Queue()
    errors: list = []
    client = SpotWebsocketStreamClient(
        stream_url=url,
        is_combined=True,
        on_message=lambda _, message: came.put(json.loads(message)),
        on_error=lambda _, error: errors.append(error),
    )
    try:
        client.subscribe(
            stream=[f"{symbol}@{one}" for one in ("trade", "kline_1s", "depth5@100ms", "ticker_1h")]
        )
        client.mini_ticker()
        time.sleep(1)
        client.list_subscribe(id=7)
        wanted = {f"{symbol}@{one}" for one in ("trade", "kline_1s", "depth5@100ms", "ticker_1h")}
        wanted |= {"!miniTicker@arr", "list"}
        deadline = time.monotonic() + PATIENCE_S
        while wanted:
            message = came.get(timeout=max(0.1, deadline - time.monotonic()))
            if message.get("id") == 7:
                assert sorted(message["result"])[0] == "!miniTicker@arr", message
                assert len(message["result"]) == 5, message
                wanted.discard("list")
            elif "stream" in message:
                wanted.discard(message["stream"])
            else:
                assert message["result"] is None, message
    finally:
        client.stop()
    assert not errors, errors


main(sys.argv[1], sys.argv[2])
print("binance-connector: all calls answered, all events came")
