// What clients publish: ticks of instruments that the gateway lets them write. Values are exact, as text.

/** A trade to be published. */
export interface TradeDraft {
  /** `SYMBOL.trade`. */
  readonly topic: string;
  readonly price: string;
  readonly quantity: string;
  /** The side of the order that took. */
  readonly side: 'buy' | 'sell';
  readonly tradeId?: bigint;
  /** When the match was made, ns since 1970; `tsNs` if not given. */
  readonly tsTradeNs?: bigint;
  /** When it happened; the gateway's time if not given. */
  readonly tsNs?: bigint;
}

/** A quote to be published; a side that there is none of is left out. */
export interface QuoteDraft {
  /** `SYMBOL.quote`. */
  readonly topic: string;
  readonly bid?: string;
  readonly bidQuantity?: string;
  readonly ask?: string;
  readonly askQuantity?: string;
  readonly tsNs?: bigint;
}

export type Draft = TradeDraft | QuoteDraft;

/** The command on the wire. */
export function publishText(id: number, ticks: readonly Draft[]): string {
  return JSON.stringify({ op: 'publish', id, ticks: ticks.map(tick) });
}

function tick(draft: Draft): object {
  if ('side' in draft) {
    const { topic, price, quantity, side, tradeId, tsTradeNs, tsNs } = draft;
    return { topic, price, quantity, side, trade_id: text(tradeId), ts_trade: text(tsTradeNs), ts: text(tsNs) };
  }
  const { topic, bid, bidQuantity, ask, askQuantity, tsNs } = draft;
  return { topic, bid, bid_quantity: bidQuantity, ask, ask_quantity: askQuantity, ts: text(tsNs) };
}

function text(value: bigint | undefined): string | undefined {
  return value === undefined ? undefined : String(value);
}
