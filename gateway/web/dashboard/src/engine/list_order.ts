/** Which symbols the list has, and in what order: pinned ones first, then as it is sorted. */
import type { Market, Values } from "./market.ts";
import type { ListWish, SortKey } from "./protocol.ts";

/** Values move all the time; rows may not. */
export const SORT_EVERY_MS = 2000;

const SCALES: Readonly<Record<Exclude<SortKey, "symbol">, (values: Values) => number>> = {
  last: (values) => values.lastScale,
  change: (values) => values.changeScale,
  volume: (values) => values.ticker?.volumeScale ?? Number.NEGATIVE_INFINITY,
};

export function listOrder(market: Market, wish: ListWish): string[] {
  const matches = [...market.all].filter((values) => values.instrument.symbol.includes(wish.query));
  const sign = wish.descending ? -1 : 1;
  if (wish.sort === "symbol") {
    if (wish.descending) matches.reverse();
  } else {
    const scale = SCALES[wish.sort];
    const keyed = matches.map((values) => ({ values, key: scale(values) }));
    // Without a value: last, whichever way.
    keyed.sort((a, b) => (a.key === b.key ? 0 : a.key === Number.NEGATIVE_INFINITY ? 1 : b.key === Number.NEGATIVE_INFINITY ? -1 : (a.key - b.key) * sign));
    keyed.forEach(({ values }, at) => (matches[at] = values));
  }
  const pins = new Set(wish.pins);
  const rank = (symbol: string) => (pins.has(symbol) ? 0 : wish.query !== "" && !symbol.startsWith(wish.query) ? 2 : 1);
  return matches.map((values) => values.instrument.symbol).sort((a, b) => rank(a) - rank(b));
}
