/** The dashboard in a real Chromium, as a gateway serves it, with ears for what a page should never say. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";

import { launch, PATIENCE_MS } from "../../../client/test/support/chromium.ts";
import { until } from "../../../client/test/support/process.ts";

export interface Opened {
  readonly page: Page;
  /** Errors and violations of the policy, as they come. */
  readonly complaints: string[];
}

let browser: Browser | undefined;

/** Opens a page in a context of its own. */
export async function openPage(url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  browser ??= await launch();
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "dark", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error.stack)));
  page.on("console", (message) => {
    // A connection that fails is said by the browser itself; outages are what some tests make.
    if (message.type() === "error" && !/WebSocket connection|Failed to load resource|ERR_/.test(message.text())) complaints.push(message.text());
  });
  await page.goto(url);
  return { page, complaints };
}

export async function closeBrowser(): Promise<void> {
  await browser?.close();
  browser = undefined;
}

interface Violation {
  readonly impact: string;
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** What keeps people out who cannot see, hear or point well: serious and critical findings of axe. */
export async function barriers(page: Page): Promise<string[]> {
  // Injected by the browser and not by a script of the page: its policy stands.
  await page.evaluate(`${readFileSync(AXE, "utf8")};0`);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
    const { violations } = await axe.run();
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
  });
}

/** What an instrument's row shows in the list. */
export function rowText(page: Page, symbol: string): Promise<string[] | null> {
  return page.evaluate((wanted) => {
    const rows = [...document.querySelectorAll(".rows .row:not([hidden])")];
    const row = rows.find((one) => one.querySelector(".symbol")?.textContent === wanted);
    return row ? [...row.children].map((cell) => cell.textContent ?? "") : null;
  }, symbol);
}

/** The first quote is on the screen. */
export async function quoted(page: Page): Promise<void> {
  await page.waitForFunction(() => [...document.querySelectorAll(".rows [role=gridcell]")].some((cell) => /\d/.test(cell.textContent ?? "")));
}

/** Figures as the page keeps them for those who measure. */
export function figures(page: Page, panel: string): Promise<Record<string, string>> {
  return page.evaluate((name) => ({ ...document.querySelector<HTMLElement>(`.panel.${name}`)?.dataset }) as Record<string, string>, panel);
}

export function alarm(page: Page): Promise<string> {
  return page.evaluate(() => document.querySelector(".stale-note:not([hidden])")?.textContent ?? "");
}

/** Writes down from now on what is said across the page, however shortly. Returns what was. */
export async function listenToAlarms(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const note = document.querySelector<HTMLElement>(".stale-note");
    const said: string[] = [];
    if (note) new MutationObserver(() => { if (!note.hidden) said.push(note.textContent ?? ""); }).observe(note, { attributes: true, childList: true });
    Object.assign(window, { said });
  });
  return () => page.evaluate(() => (window as unknown as { said: string[] }).said);
}

/** Looks at a page that is live all the while: one that had to wait says so, and is another sight. */
export async function whileLive(page: Page, look: () => Promise<void>): Promise<void> {
  const said = await listenToAlarms(page);
  await until("a sight of the page while it is live", async () => {
    await until("the page to be live", async () => (await alarm(page)) === "");
    const before = (await said()).length;
    const outcome = await look().catch((error: unknown) => ({ error }));
    if ((await said()).length > before || (await alarm(page)) !== "") return false;
    if (outcome !== undefined) throw outcome.error;
    return true;
  });
}

/** Stops the processes of all pages, workers and all, as a machine that sleeps does; what is returned wakes them. */
export async function putToSleep(): Promise<() => void> {
  const devtools = await browser?.newBrowserCDPSession();
  const answer = await devtools?.send("SystemInfo.getProcessInfo");
  const pids = (answer?.processInfo ?? []).filter(({ type }) => type === "renderer").map(({ id }) => id);
  expect(pids.length).toBeGreaterThan(0);
  const signal = (name: NodeJS.Signals) => {
    for (const pid of pids) {
      try {
        process.kill(pid, name);
      } catch {
        // Chromium keeps a process in reserve, which may be gone meanwhile.
      }
    }
  };
  signal("SIGSTOP");
  return () => signal("SIGCONT");
}

interface Snapshot {
  readonly last: readonly Record<string, string>[];
  readonly book: { readonly seq: string; readonly bids: string[][]; readonly asks: string[][] };
}

/**
 * What the page shows of the focused instrument becomes what the gateway says of it: quote, book and trade number. The
 * feed has to stand still.
 */
export async function equalsSnapshot(page: Page, base: string, symbol: string): Promise<void> {
  const differences = async (): Promise<object> => {
    const snapshot = (await (await fetch(`${base}/v1/snapshot/${symbol}?levels=20`)).json()) as Snapshot;
    const quote = snapshot.last.find((event) => event["e"] === "quote");
    const trade = snapshot.last.find((event) => event["e"] === "trade");
    const shown = await page.evaluate(() => {
      const side = (name: string) => [...document.querySelectorAll(`.${name} .level:not([hidden])`)].slice(0, 10)
        .map((level) => [...level.querySelectorAll("span")].slice(0, 2).map((cell) => cell.textContent));
      return { bids: side("bids"), asks: side("asks") };
    });
    const row = await rowText(page, symbol);
    return {
      page: { quote: row && [row[2], row[3]], bookSeq: (await figures(page, "book"))["seq"], ...shown, tradeSeq: (await figures(page, "tape"))["seq"] },
      gateway: {
        quote: quote && [quote["bid"], quote["ask"]], bookSeq: snapshot.book.seq, bids: snapshot.book.bids.slice(0, shown.bids.length),
        asks: snapshot.book.asks.slice(0, shown.asks.length), tradeSeq: trade?.["seq"],
      },
    };
  };
  type Both = { page: object; gateway: object };
  let both: Both | undefined;
  await until("the page to show what the gateway has", async () => {
    both = (await differences().catch(() => undefined)) as Both | undefined;
    return both !== undefined && JSON.stringify(both.page) === JSON.stringify(both.gateway);
  }).catch(() => {});
  both ??= (await differences()) as Both;
  expect(both.page).toEqual(both.gateway);
}

/** The tape, newest first, is what `/v1/trades` has, as far back as both go, to a gap at most. The feed has to stand still. */
export async function tapeEqualsHistory(page: Page, base: string, symbol: string): Promise<void> {
  let both = await tapeAndHistory(page, base, symbol);
  await until("the tape to show what the gateway has", async () => {
    both = await tapeAndHistory(page, base, symbol);
    return both.count > 3 && JSON.stringify(both.shown) === JSON.stringify(both.history);
  }).catch(() => {});
  expect(both.count).toBeGreaterThan(3);
  expect(both.shown).toEqual(both.history);
}

/** The tape and `/v1/trades`, newest first, as far back as both go. */
export async function tapeAndHistory(page: Page, base: string, symbol: string): Promise<{ count: number; shown: string[]; history: string[] }> {
  const answer = await fetch(`${base}/v1/trades/${symbol}?limit=200`);
  const { trades = [] } = (await answer.json()) as { trades?: Record<string, string>[] };
  const history = trades.reverse().map((trade) => `${trade["price"]} ${trade["qty"]} ${trade["maker"] === "ask" ? "▲" : "▼"}`);
  const shown = await page.evaluate(() => {
    const prints = [...document.querySelectorAll(".print:not([hidden])")].map((node) => ({ node, top: node.getBoundingClientRect().top }));
    const lines = prints.sort((a, b) => a.top - b.top).map(({ node }) => {
      const [price = "", size = ""] = [...node.querySelectorAll("span")].map((cell) => cell.textContent ?? "");
      return node.classList.contains("gap") ? "" : `${price.slice(2)} ${size} ${price.slice(0, 1)}`;
    });
    const end = lines.findIndex((line) => line.trim() === "");
    return end < 0 ? lines : lines.slice(0, end);
  });
  const count = Math.min(shown.length, history.length);
  return { count, shown: shown.slice(0, count), history: history.slice(0, count) };
}
