"""python-binance, as it is installed from PyPI, against a gateway: `python_binance.py HOST:PORT SYMBOL`."""

import asyncio
import sys

import binance
from binance import AsyncClient, BinanceSocketManager
from binance.ws.depthcache import DepthCacheManager


async def main(address: str, symbol: str) -> None:
    AsyncClient.API_URL = f"http://{address}/api"
    BinanceSocketManager.STREAM_URL = f"ws://{address}/"
    client = await AsyncClient.create()
    try:
        await check(client, symbol)
    finally:
        await client.close_connection()


async def check(client: AsyncClient, symbol: str) -> None:
    info = await client.get_symbol_info(symbol)
    assert info["filters"][0]["filterType"] == "PRICE_FILTER", info
    ticker = await client.get_ticker(symbol=symbol)
    assert float(ticker["lastPrice"]) > 0, ticker
    klines = await client.get_klines(symbol=symbol, interval="1s", limit=3)
    assert len(klines) == 3 and len(klines[0]) == 12, klines

    sockets = BinanceSocketManager(client)
    async with sockets.trade_socket(symbol) as stream:
        ids = []
        for _ in range(10):
            trade = await stream.recv()
            assert trade["e"] == "trade" and trade["s"] == symbol, trade
            ids.append(trade["t"])
        assert ids == list(range(ids[0], ids[0] + 10)), ids
    async with sockets.symbol_book_ticker_socket(symbol) as stream:
        updates = [(await stream.recv())["u"] for _ in range(10)]
        assert updates == sorted(updates), updates
    async with sockets.kline_socket(symbol, interval="1s") as stream:
        kline = await stream.recv()
        assert kline["e"] == "kline" and kline["k"]["i"] == "1s", kline
    async with sockets.depth_socket(symbol, depth="5", interval=100) as stream:
        partial = await stream.recv()
        assert len(partial["bids"]) == 5 and partial["lastUpdateId"] > 0, partial
    async with sockets.symbol_miniticker_socket(symbol) as stream:
        mini = await stream.recv()
        assert mini["e"] == "24hrMiniTicker", mini
    async with sockets.miniticker_socket() as stream:
        array = await stream.recv()
        assert isinstance(array, list) and all(one["e"] == "24hrMiniTicker" for one in array), array

    names = [f"{symbol.lower()}@trade", f"{symbol.lower()}@bookTicker", f"{symbol.lower()}@depth@100ms"]
    async with sockets.multiplex_socket(names) as stream:
        seen = set()
        while seen != set(names):
            message = await stream.recv()
            assert message["stream"] in names, message
            seen.add(message["stream"])

    manager = DepthCacheManager(client, symbol, bm=sockets)
    async with manager as cache_socket:
        last = 0
        for _ in range(20):
            cache = await cache_socket.recv()
            assert cache is not None, "the cache gave up its book"
            bids, asks = cache.get_bids(), cache.get_asks()
            assert bids[0][0] < asks[0][0], (bids[0], asks[0])
            assert cache.update_time is None or cache.update_time >= last
            last = cache.update_time or last
    print(f"python-binance {binance.__version__}: trades {ids[0]} to {ids[-1]}, depth cache at {last}")


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 120))
