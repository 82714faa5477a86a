/** The topics that what is on the screen needs, kept as watches of the client: it sends what has changed in one command. */
import type { Client, Watch, WatchOptions } from "@tickcast/client";
import type { DeliveryWish, ViewWish } from "./protocol.ts";

/** Up to so many instruments the statistics of all are taken, so that the list can be sorted by them. */
const ALL_TICKERS_MAX = 5000;
/** Updates a second of what changes shape and not just a number, at most. */
const BOOK_RATE = 20;
const BAR_RATE = 10;
const TICKER_RATE = 2;
/** Of everything that may be merged, while nobody looks. */
const HIDDEN_RATE = 1;

export class Wants {
  private readonly watches = new Map<string, { watch: Watch; terms: string }>();

  constructor(
    private readonly client: Client,
    private readonly has: (symbol: string, channel: string) => boolean,
  ) {}

  get size(): number {
    return this.watches.size;
  }

  /** Brings the subscriptions in line. Says which topics are new. */
  update(view: ViewWish, delivery: DeliveryWish, instruments: number, isVisible: boolean): string[] {
    const wanted = new Map<string, WatchOptions>();
    const want = (topic: string, rate: number | "every") => {
      const maxRate = isVisible ? rate : HIDDEN_RATE;
      wanted.set(topic, maxRate === "every" ? { mode: "every" } : { mode: "conflate", maxRate });
    };
    const wantOf = (symbol: string, channel: string, rate: number | "every") => {
      if (this.has(symbol, channel)) want(`${symbol}.${channel}`, rate);
    };
    const takesAllTickers = instruments <= ALL_TICKERS_MAX;
    if (takesAllTickers) want("*.ticker", TICKER_RATE);
    if (delivery.scope === "all") want("*.quote", delivery.pace);
    const rows = view.focus === null ? view.rows : [...view.rows, view.focus];
    for (const symbol of rows) {
      if (delivery.scope !== "all") wantOf(symbol, "quote", delivery.pace);
      if (!takesAllTickers) wantOf(symbol, "ticker", TICKER_RATE);
      wantOf(symbol, "status", "every");
    }
    if (view.focus !== null) {
      // A new best level moves all lines of a ladder: no more often than is asked of the rest.
      wantOf(view.focus, "depth", delivery.pace === "every" ? BOOK_RATE : Math.min(delivery.pace, BOOK_RATE));
      wantOf(view.focus, `bar_${view.interval}`, BAR_RATE);
      // Every one, also while nobody looks: a tape has no newest value.
      if (this.has(view.focus, "trade")) wanted.set(`${view.focus}.trade`, { mode: "every" });
    }
    return this.apply(wanted);
  }

  private apply(wanted: ReadonlyMap<string, WatchOptions>): string[] {
    const added: string[] = [];
    const stale: Watch[] = [];
    for (const [topic, { watch }] of this.watches) {
      if (wanted.has(topic)) continue;
      stale.push(watch);
      this.watches.delete(topic);
    }
    for (const [topic, options] of wanted) {
      const terms = `${options.mode} ${options.maxRate ?? ""}`;
      const known = this.watches.get(topic);
      if (known?.terms === terms) continue;
      if (known) stale.push(known.watch);
      else added.push(topic);
      // Events come through the client's handlers by type: one call for each, however many topics.
      this.watches.set(topic, { watch: this.client.watch([topic], ignore, options), terms });
    }
    // After the new ones: a topic that only changes its terms is not left between.
    for (const watch of stale) watch.close();
    return added;
  }
}

function ignore(): void {}
