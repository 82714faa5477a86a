"""ccxt pro, as it is installed from PyPI, against a gateway: `ccxt_pro.py HOST:PORT SYMBOL`.

SYMBOL is ccxt's, such as BTC/USDT. Everything is asserted on what the library hands to its user.
"""

import asyncio
import sys

import ccxt.pro


async def main(address: str, symbol: str) -> None:
    exchange = ccxt.pro.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"}})
    # Its versions tell spot from futures by parts of the URL.
    exchange.urls["api"]["ws"]["spot"] = f"ws://{address}/stream.binance.local/ws"
    exchange.urls["api"]["public"] = f"http://{address}/api/v3"
    exchange.has["fetchCurrencies"] = False
    try:
        await check(exchange, symbol)
    finally:
        await exchange.close()


async def check(exchange: ccxt.pro.binance, symbol: str) -> None:
    markets = await exchange.load_markets()
    market = markets[symbol]
    assert market["active"] and market["spot"], market
    assert market["precision"]["price"] > 0, market["precision"]

    ticker = await exchange.watch_ticker(symbol)
    assert ticker["symbol"] == symbol and ticker["last"] > 0, ticker
    assert ticker["high"] >= ticker["last"] >= ticker["low"], ticker
    # By itself the library asks for the short form, which has no best prices.
    ticker = await exchange.watch_ticker(symbol, {"name": "ticker"})
    while ticker["bid"] is None:
        ticker = await exchange.watch_ticker(symbol, {"name": "ticker"})
    assert ticker["bid"] < ticker["ask"], ticker

    ids = []
    while len(ids) < 20:
        for trade in await exchange.watch_trades(symbol):
            ids.append(int(trade["id"]))
            assert trade["price"] > 0 and trade["side"] in ("buy", "sell"), trade
    assert ids == sorted(ids), ids

    nonce = 0
    for _ in range(30):
        book = await exchange.watch_order_book(symbol)
        assert book["nonce"] >= nonce, (book["nonce"], nonce)
        nonce = book["nonce"]
        bids, asks = book["bids"], book["asks"]
        assert bids[0][0] < asks[0][0], (bids[0], asks[0])
        assert all(a[0] > b[0] for a, b in zip(bids, bids[1:])), bids
        assert all(a[0] < b[0] for a, b in zip(asks, asks[1:])), asks
    fetched = await exchange.fetch_order_book(symbol, 5)
    assert fetched["nonce"] >= nonce, (fetched["nonce"], nonce)

    best = await exchange.watch_bids_asks([symbol])
    assert best[symbol]["bid"] < best[symbol]["ask"], best

    candles = await exchange.watch_ohlcv(symbol, "1m")
    time, opened, high, low, close, volume = candles[-1]
    assert time % 60_000 == 0 and high >= max(opened, close) and low <= min(opened, close) and volume > 0
    candles = await exchange.fetch_ohlcv(symbol, "1s", limit=5)
    assert 0 < len(candles) <= 5 and [candle[0] for candle in candles] == sorted(candle[0] for candle in candles)

    await exchange.un_watch_ticker(symbol)
    await exchange.un_watch_order_book(symbol)
    await exchange.un_watch_trades(symbol)
    # What was unwatched can be watched again.
    again = await exchange.watch_trades(symbol)
    assert int(again[-1]["id"]) > ids[-1], again[-1]
    print(f"ccxt {ccxt.__version__}: {len(ids)} trades, book to {nonce}")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 120))
