/** What is known of each instrument: the newest values as they came, made into text only for those who are looked at. */
import type { Instrument, Integer, Quote, Status, Ticker, Trade } from "@tickcast/client";
import { basisPoints, compare, percent, short } from "./exact.ts";
import type { FocusRow, Row } from "./protocol.ts";

/** One instrument's newest values. */
export class Values {
  /** Counts changes: who has shown this version need not show it again. */
  version = 0;
  shownVersion = -1;
  hasQuote = false;
  bid: Integer = 0;
  bidSize: Integer = 0;
  ask: Integer = 0;
  askSize: Integer = 0;
  quoteSeq = 0;
  last: Integer | null = null;
  /** The last trade's number here; a ticker's price is older than that of a trade that came after it. */
  ticker: { open: Integer; high: Integer; low: Integer; volume: string; quoteVolume: string; trades: number; volumeScale: number } | null = null;
  status = "";
  /** What was shown last, for the direction of a change. */
  private shownBid: Integer = 0;
  private shownAsk: Integer = 0;
  private shownLast: Integer | null = null;
  /** Whether the next event is the present state, which is as old as it is. */
  isFresh = false;

  constructor(public instrument: Instrument) {}

  quote(event: Quote): void {
    this.hasQuote = true;
    this.bid = event.bidPriceMantissa;
    this.bidSize = event.bidQuantityMantissa;
    this.ask = event.askPriceMantissa;
    this.askSize = event.askQuantityMantissa;
    this.quoteSeq = event.seq;
    this.version += 1;
  }

  trade(event: Trade): void {
    this.last = event.priceMantissa;
    this.version += 1;
  }

  tick(event: Ticker): void {
    this.last = event.lastMantissa;
    this.ticker = {
      open: event.openMantissa, high: event.highMantissa, low: event.lowMantissa, volume: event.volume, quoteVolume: event.quoteVolume,
      trades: event.trades, volumeScale: Number(event.volumeMantissa) * 10 ** this.instrument.quantityExponent,
    };
    this.version += 1;
  }

  say(event: Status): void {
    this.status = event.status;
    this.version += 1;
  }

  /** For sorting only: the change in parts, the volume, the last price. */
  get changeScale(): number {
    const open = Number(this.ticker?.open ?? 0);
    return open === 0 || this.last === null ? Number.NEGATIVE_INFINITY : Number(this.last) / open;
  }

  get lastScale(): number {
    return this.last === null ? Number.NEGATIVE_INFINITY : Number(this.last) * 10 ** this.instrument.priceExponent;
  }

  /** The row as text. Directions are those since the row was shown last. */
  row(): Row {
    const { instrument, ticker, last } = this;
    const side = (price: Integer, size: Integer) => (this.hasQuote && size != 0 ? instrument.priceText(price) : "–");
    const row: Row = {
      symbol: instrument.symbol,
      bid: side(this.bid, this.bidSize),
      bidSize: this.hasQuote ? short(instrument.quantityText(this.bidSize)) : "",
      bidMove: this.shownBid === 0 ? 0 : compare(this.bid, this.shownBid),
      ask: side(this.ask, this.askSize),
      askSize: this.hasQuote ? short(instrument.quantityText(this.askSize)) : "",
      askMove: this.shownAsk === 0 ? 0 : compare(this.ask, this.shownAsk),
      last: last === null ? "–" : instrument.priceText(last),
      lastMove: last === null || this.shownLast === null ? 0 : compare(last, this.shownLast),
      change: last === null || !ticker ? "–" : percent(last, ticker.open),
      changeMove: last === null || !ticker ? 0 : compare(last, ticker.open),
      spread: this.hasQuote ? basisPoints(this.bid, this.ask) : "–",
      volume: ticker ? short(ticker.volume) : "–",
      status: this.status,
    };
    [this.shownBid, this.shownAsk, this.shownLast] = [this.bid, this.ask, last];
    return row;
  }

  focusRow(row: Row): FocusRow {
    const { instrument, ticker } = this;
    const price = (mantissa: Integer | undefined) => (mantissa === undefined ? "–" : instrument.priceText(mantissa));
    return {
      ...row,
      high: price(ticker?.high), low: price(ticker?.low), open: price(ticker?.open),
      quoteVolume: ticker ? short(ticker.quoteVolume) : "–",
      trades: ticker ? String(ticker.trades) : "–",
      priceExponent: instrument.priceExponent, quantityExponent: instrument.quantityExponent,
      quoteSeq: String(this.quoteSeq),
    };
  }
}

/** All instruments, in the order in which the gateway lists them. */
export class Market {
  private bySymbol = new Map<string, Values>();
  /** The same by the ids of the present epoch: looked up for each tick. */
  private byId: (Values | undefined)[] = [];

  get(symbol: string): Values | undefined {
    return this.bySymbol.get(symbol);
  }

  get all(): IterableIterator<Values> {
    return this.bySymbol.values();
  }

  get size(): number {
    return this.bySymbol.size;
  }

  /** The values of an event's instrument, who may be new. */
  of(instrument: Instrument): Values {
    const known = this.byId[instrument.id];
    if (known !== undefined && known.instrument === instrument) return known;
    return this.define(instrument);
  }

  /** Begins an epoch with these: values that are there stay until newer ones come. */
  replace(instruments: readonly Instrument[]): void {
    const before = this.bySymbol;
    this.bySymbol = new Map();
    this.byId = [];
    for (const instrument of instruments) {
      const values = before.get(instrument.symbol) ?? new Values(instrument);
      values.instrument = instrument;
      this.bySymbol.set(instrument.symbol, values);
      this.byId[instrument.id] = values;
    }
  }

  private define(instrument: Instrument): Values {
    let values = this.bySymbol.get(instrument.symbol);
    if (values === undefined) {
      values = new Values(instrument);
      this.bySymbol.set(instrument.symbol, values);
    }
    values.instrument = instrument;
    this.byId[instrument.id] = values;
    return values;
  }
}
