/** The engine's parts without a connection: exact numbers, books, orders, histograms. */
import { Instrument, type Depth, type DepthSnapshot, type Level } from "@tickcast/client";
import { expect, test } from "vitest";

import { basisPoints, difference, percent, short, sum } from "../src/engine/exact.ts";
import { BUCKETS_MS, LatencyWindow, quantileMs } from "../src/engine/latency.ts";
import { listOrder } from "../src/engine/list_order.ts";
import { Market } from "../src/engine/market.ts";
import { OrderBook } from "../src/engine/order_book.ts";

function instrument(symbol: string, id = 0): Instrument {
  return new Instrument({ id, symbol, base: "", priceExponent: -2, quantityExponent: -5, tickSize: 1, lotSize: 1, channels: ["quote", "depth"] });
}

function levels(...pairs: [number, number][]): Level[] {
  return pairs.map(([priceMantissa, quantityMantissa]) => ({ price: "", quantity: "", priceMantissa, quantityMantissa }));
}

const BTC = instrument("BTCUSDT");

test("sums that leave the numbers' exact range go on exactly", () => {
  const big = Number.MAX_SAFE_INTEGER;
  expect(sum(big, 2)).toBe(BigInt(big) + 2n);
  expect(sum(2, 3)).toBe(5);
  expect(difference(1n << 60n, 1)).toBe((1n << 60n) - 1n);
});

test("changes are rounded from exact values, with a sign", () => {
  expect(percent(10_100, 10_000)).toBe("+1.00%");
  expect(percent(9_999, 10_000)).toBe("−0.01%");
  expect(percent(99_995, 100_000)).toBe("−0.01%");
  expect(percent(10_000, 10_000)).toBe("+0.00%");
  expect(percent(3n << 62n, 1n << 62n)).toBe("+200.00%");
  expect(percent(1, 0)).toBe("");
  expect(basisPoints(6_183_763, 6_183_764)).toBe("0.0");
  expect(basisPoints(9_990, 10_000)).toBe("10.0");
});

test("long decimals are cut, not rounded up to another value", () => {
  expect(short("25123.45678")).toBe("25.1K");
  expect(short("999999.99")).toBe("999K");
  expect(short("1999999.99")).toBe("1.99M");
  expect(short("0.00001234")).toBe("0.0000123");
  expect(short("0.00000")).toBe("0.000");
  expect(short("123.4567")).toBe("123.4");
  expect(short("12.5")).toBe("12.5");
  expect(short("1.23456")).toBe("1.234");
  expect(short("7")).toBe("7");
});

test("a book follows its snapshot and the changes after it", () => {
  const book = new OrderBook();
  const part = (bids: Level[], asks: Level[], isFirst: boolean, isLast: boolean) =>
    ({ instrument: BTC, seq: 7, bids, asks, isFirst, isLast }) as unknown as DepthSnapshot;
  const change = (seq: number, bids: Level[], asks: Level[], replacesBook = false) =>
    ({ instrument: BTC, seq, bids, asks, replacesBook }) as unknown as Depth;
  book.change(change(6, levels([1, 1]), []));
  book.snapshot(part(levels([100, 5], [99, 1]), [], true, false));
  expect(book.changed(null)).toBeNull();
  book.snapshot(part([], levels([102, 2], [101, 3]), false, true));
  book.change(change(8, levels([100, 0], [98, 4]), levels([101, 9])));
  const shown = book.changed(null);
  expect(shown?.seq).toBe("8");
  expect(shown?.bids.map(({ price, size, sum }) => [price, size, sum])).toEqual([["0.99", "0.00001", "0.00001"], ["0.98", "0.00004", "0.00005"]]);
  expect(shown?.asks.map(({ price, size }) => [price, size])).toEqual([["1.01", "0.00009"], ["1.02", "0.00002"]]);
  expect(shown?.spread).toBe("0.02");
  expect(book.changed(null)).toBeNull();
  book.change(change(9, levels([50, 1]), [], true));
  expect(book.changed(null)?.levels).toBe(1);
});

test("the list begins with pins, then with what the search begins", () => {
  const market = new Market();
  market.replace(["ADABTC", "BTCUSDT", "ETHBTC", "XRPUSDT"].map((symbol, id) => instrument(symbol, id)));
  const wish = { query: "", sort: "symbol", descending: false, pins: [] } as const;
  expect(listOrder(market, { ...wish, query: "BTC" })).toEqual(["BTCUSDT", "ADABTC", "ETHBTC"]);
  expect(listOrder(market, { ...wish, pins: ["XRPUSDT"] })[0]).toBe("XRPUSDT");
  const values = market.get("ETHBTC");
  if (values) values.last = 5;
  expect(listOrder(market, { ...wish, sort: "last", descending: true })[0]).toBe("ETHBTC");
  expect(listOrder(market, { ...wish, sort: "last" })[0]).toBe("ETHBTC");
});

test("an age falls into the bucket whose bounds hold it", () => {
  const window = new LatencyWindow();
  for (const [at, bound] of BUCKETS_MS.entries()) {
    const one = new LatencyWindow();
    one.record(bound * 1.02);
    expect(one.counts(0)[at], String(bound)).toBe(1);
  }
  window.record(-3);
  window.record(1e9);
  for (let i = 0; i < 98; i += 1) window.record(1.1);
  const counts = window.counts(0);
  expect(counts.reduce((a, b) => a + b, 0)).toBe(100);
  expect(quantileMs(counts, 0.5)).toBe(1.26);
  expect(quantileMs(window.counts(60_000), 0.5)).toBeNull();
});
