/** A market of its own process, which outlives gateways and can be made to stand still. */
import { existsSync, rmSync } from "node:fs";
import { onTestFinished } from "vitest";

import { Process, stall, until } from "../../../client/test/support/process.ts";
import type { Opened } from "./page.ts";
import { equalsSnapshot, tapeAndHistory, tapeEqualsHistory } from "./page.ts";

export const SYMBOL = "BTCUSDT";

export interface Stand {
  readonly feed: Process;
  /** Of a gateway on it. */
  readonly args: readonly string[];
}

export async function stand(): Promise<Stand> {
  const path = `/dev/shm/tickcast-test-page-${process.pid}-${Math.random().toString(36).slice(2)}`;
  onTestFinished(() => rmSync(path, { force: true }));
  const feed = new Process("feed-sim", ["--out", `shm:${path}`, "--symbols", "5", "--rate", "300"]);
  await until("the ring's file", () => existsSync(path));
  return { feed, args: ["--source", `shm:${path}`, "--heartbeat", "500ms", "--feed-silent-after", "20s"] };
}

/** Stops the market, so that page and gateway can be compared: quote, book, and every trade of the tape. */
export async function stands({ page }: Opened, feed: Process, gateway: { readonly port: number }): Promise<void> {
  const base = `http://127.0.0.1:${gateway.port}`;
  await until("trades to compare", async () => (await tapeAndHistory(page, base, SYMBOL)).count > 3);
  onTestFinished(() => feed.signal("SIGCONT"));
  await stall(feed.child.pid!);
  await equalsSnapshot(page, base, SYMBOL);
  await tapeEqualsHistory(page, base, SYMBOL);
}
