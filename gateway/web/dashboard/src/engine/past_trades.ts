/** The trades before those that come live, from `/v1/trades`: the tape is full when it begins. */
import type { Trade } from "@tickcast/client";
import { get } from "../rest.ts";
import type { Print } from "./protocol.ts";

/** More than a tall screen shows. */
const LIMIT = 100;

/** `GET /v1/trades/SYMBOL`, as far as it is read here. */
interface TradesAnswer {
  readonly trades: readonly Readonly<Record<"price" | "qty" | "id" | "ts_trade" | "maker", string>>[];
}

/** What was traded before this trade, oldest first; nothing if the gateway keeps no past. To be asked once it has come: so no trade is between. */
export async function tradesBefore(first: { readonly symbol: string; readonly tradeId: bigint }): Promise<Print[]> {
  const answer = await get(`/v1/trades/${encodeURIComponent(first.symbol)}?limit=${LIMIT}`);
  if (!answer.ok) return [];
  const { trades } = (await answer.json()) as TradesAnswer;
  const known = trades.findIndex(({ id }) => BigInt(id) === first.tradeId);
  // Of a very fast market the answer may begin behind it.
  const before = known >= 0 ? trades.slice(0, known) : trades.filter(({ id }) => BigInt(id) < first.tradeId);
  return before.map((trade) => ({
    kind: "trade", seq: "", timeMs: Number(BigInt(trade.ts_trade) / 1000n) / 1000, price: trade.price, size: trade.qty,
    side: sideOf(trade.maker),
  }));
}

/** Who took: the other side of the order that was in the book. */
export function sideOf(maker: Trade["makerSide"] | string): "buy" | "sell" {
  return maker === "ask" ? "buy" : "sell";
}
