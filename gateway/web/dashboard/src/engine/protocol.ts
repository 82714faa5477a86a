/**
 * What the page and the engine say to each other, in a worker or not.
 *
 * Everything the page shows of prices and quantities is a string made from the exact mantissa; a mantissa
 * as a number goes along only where something is drawn to scale.
 */

/** How often an instrument's values may change on the screen. */
export type Pace = "every" | 1 | 4 | 10 | 20;

/** Which instruments' quotes are taken: those on the screen, or all of them. */
export type Scope = "visible" | "all";

export type Interval = "1s" | "1m" | "5m" | "15m" | "1h" | "4h" | "1d";

export type SortKey = "symbol" | "last" | "change" | "volume";

/** What the list shows, and in which order. */
export interface ListWish {
  readonly query: string;
  readonly sort: SortKey;
  readonly descending: boolean;
  readonly pins: readonly string[];
}

/** What the page looks at. */
export interface ViewWish {
  /** Symbols of the rows on the screen. */
  readonly rows: readonly string[];
  readonly focus: string | null;
  readonly interval: Interval;
}

export interface DeliveryWish {
  readonly pace: Pace;
  readonly scope: Scope;
}

export type ToEngine =
  | { readonly kind: "open"; readonly url: string; readonly token: string | null; readonly delivery: DeliveryWish }
  | { readonly kind: "list"; readonly list: ListWish }
  | { readonly kind: "view"; readonly view: ViewWish }
  | { readonly kind: "delivery"; readonly delivery: DeliveryWish }
  | { readonly kind: "visible"; readonly visible: boolean }
  | { readonly kind: "wake" }
  | { readonly kind: "frame" };

export type FromEngine =
  | { readonly kind: "order"; readonly symbols: readonly string[]; readonly total: number }
  | { readonly kind: "frame"; readonly frame: Frame };

/** What has changed since the last frame. */
export interface Frame {
  readonly rows: readonly Row[];
  readonly focus: FocusRow | null;
  readonly book: Book | null;
  readonly trades: readonly Print[];
  /** Older than all that were sent: what was traded before the first live one. */
  readonly past: readonly Print[];
  /** Whether `trades` begins a new list instead of going on with the one there is. */
  readonly tradesAnew: boolean;
  readonly bar: Bar | null;
  readonly link: Link;
  /** Ten times a second at most. */
  readonly figures: Figures | null;
}

/** Where a value went: up, down, or nowhere yet. */
export type Move = 1 | 0 | -1;

export interface Row {
  readonly symbol: string;
  readonly bid: string;
  readonly bidSize: string;
  readonly bidMove: Move;
  readonly ask: string;
  readonly askSize: string;
  readonly askMove: Move;
  readonly last: string;
  readonly lastMove: Move;
  readonly change: string;
  readonly changeMove: Move;
  readonly spread: string;
  readonly volume: string;
  readonly status: string;
}

export interface FocusRow extends Row {
  readonly high: string;
  readonly low: string;
  readonly open: string;
  readonly quoteVolume: string;
  readonly trades: string;
  readonly priceExponent: number;
  readonly quantityExponent: number;
  /** Numbers of the topics, for comparing with the gateway's snapshot. */
  readonly quoteSeq: string;
}

export interface Level {
  readonly price: string;
  readonly size: string;
  readonly sum: string;
  /** To scale: price and running sum. */
  readonly at: number;
  readonly depth: number;
}

export interface Book {
  readonly symbol: string;
  readonly seq: string;
  /** Best first. */
  readonly bids: readonly Level[];
  readonly asks: readonly Level[];
  readonly spread: string;
  readonly middle: string;
  readonly middleMove: Move;
  /** The whole book to scale, for the depth chart: price, running sum, price, … */
  readonly bidCurve: Float64Array;
  readonly askCurve: Float64Array;
  readonly levels: number;
}

export type Print =
  | {
      readonly kind: "trade";
      /** Empty: its number is not known, only its place. */
      readonly seq: string;
      readonly timeMs: number;
      readonly price: string;
      readonly size: string;
      readonly side: "buy" | "sell";
    }
  | { readonly kind: "gap"; readonly count: string; readonly reason: string };

export interface Bar {
  readonly symbol: string;
  readonly interval: Interval;
  readonly openS: number;
  /** Mantissas, exact as numbers: a chart draws them and writes them with the exponent. */
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly isFinal: boolean;
}

export type LinkState = "connecting" | "live" | "waiting" | "closed";

export interface Link {
  readonly state: LinkState;
  readonly text: string;
  /** Whether what is shown may be old. */
  readonly isStale: boolean;
  /** Whether the gateway asks for a token, or for another one. */
  readonly wantsToken: boolean;
  readonly epoch: string;
  readonly feed: string;
}

export interface Figures {
  readonly events: number;
  readonly eventsPerS: number;
  readonly messages: number;
  readonly messagesPerS: number;
  readonly bytes: number;
  readonly bytesPerS: number;
  readonly conflated: string;
  readonly lost: string;
  readonly gaps: number;
  /** What was lost last, where and why; empty: nothing. */
  readonly lastLost: string;
  readonly resets: number;
  readonly reconnects: number;
  readonly resumed: string;
  readonly topics: number;
  readonly instruments: number;
  readonly rttMs: number | null;
  /** Ages of the last seconds' events at arrival: counts by bucket, see `latency.ts`. */
  readonly latency: Uint32Array;
  readonly latencyP50Ms: number | null;
  readonly latencyP99Ms: number | null;
}
