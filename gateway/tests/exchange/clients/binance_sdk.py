"""binance-sdk-spot, the exchange's own, as it is installed from PyPI, against a gateway: `binance_sdk.py HOST:PORT SYMBOL`.

It checks the type of every member of every answer and event: what it does not accept is not handed out.
"""

import asyncio
import sys

from binance_common.configuration import ConfigurationRestAPI
from binance_sdk_spot.spot import ConfigurationWebSocketStreams, Spot


def ask(client: Spot, symbol: str) -> None:
    rest = client.rest_api
    one = {"symbol": symbol}
    assert rest.time().data().server_time > 0
    assert rest.exchange_info(**one).data().symbols[0].symbol == symbol
    assert len(rest.exchange_info().data().symbols) > 1
    book = rest.depth(**one, limit=5).data()
    assert len(book.bids) == 5 and book.last_update_id > 0, book
    assert len(rest.get_trades(**one, limit=3).data()) == 3
    assert len(rest.historical_trades(**one, limit=3).data()) == 3
    assert len(rest.agg_trades(**one, limit=2).data()) == 2
    for klines in (rest.klines, rest.ui_klines):
        bars = klines(**one, interval="1s", limit=2).data()
        assert len(bars) == 2 and len(bars[0]) == 12, bars
    assert float(rest.avg_price(**one).data().price) > 0
    # Each is one or many, of which it knows by the answer.
    assert float(rest.ticker24hr(**one).data().actual_instance.last_price) > 0
    assert len(rest.ticker24hr().data().actual_instance) > 1
    assert len(rest.ticker_price().data().actual_instance) > 1
    assert float(rest.ticker_book_ticker(**one).data().actual_instance.bid_price) > 0
    assert float(rest.ticker(**one, window_size="1h").data().actual_instance.volume) > 0
    assert float(rest.ticker_trading_day(**one).data().actual_instance.volume) > 0


async def main(address: str, symbol: str) -> None:
    client = Spot(
        config_rest_api=ConfigurationRestAPI(api_key="", api_secret="", base_path=f"http://{address}"),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{address}"),
    )
    ask(client, symbol)
    connection = await client.websocket_streams.create_connection()
    one = {"symbol": symbol.lower()}
    wanted = {
        "trade": one,
        "agg_trade": one,
        "kline": {**one, "interval": "1s"},
        "mini_ticker": one,
        "all_mini_ticker": {},
        "ticker": one,
        "book_ticker": one,
        "avg_price": one,
        "partial_book_depth": {**one, "levels": "5"},
        "diff_book_depth": one,
        "rolling_window_ticker": {**one, "window_size": "1h"},
        "all_market_rolling_window_ticker": {"window_size": "1h"},
        "kline_offset": {**one, "interval": "1h"},
    }
    seen: dict[str, int] = dict.fromkeys(wanted, 0)
    for name, arguments in wanted.items():
        stream = await getattr(connection, name)(**arguments)

        def count(_event: object, name: str = name) -> None:
            seen[name] += 1

        stream.on("message", count)
    while not all(seen.values()):
        await asyncio.sleep(0.1)
    await connection.close_connection(close_session=True)
    print(f"binance-sdk-spot: {seen}")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 120))
