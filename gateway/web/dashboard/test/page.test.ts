/** The page against a real gateway: what it shows, how it is used, whom it serves. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

import { Gateway, until } from "../../client/test/support/process.ts";
import { alarm, barriers, closeBrowser, figures, openPage, quoted, rowText, whileLive } from "./support/page.ts";
import { stand, stands, SYMBOL } from "./support/stand.ts";

afterAll(closeBrowser);

const DIST = join(import.meta.dirname, "../dist");

function at(gateway: Gateway, query = ""): string {
  return `http://127.0.0.1:${gateway.port}/${query}`;
}

test("prices, book, trades, candles and status come up under the strict policy", async () => {
  const gateway = await Gateway.start(["--symbols", "40", "--rate", "4000"]);
  const { page, complaints } = await openPage(at(gateway));
  await quoted(page);
  await until("a book and trades", async () => (await figures(page, "book"))["seq"] && (await figures(page, "tape"))["seq"]);
  await until("candles", async () => Number((await figures(page, "chart"))["bars"]) >= 0 && page.evaluate(() => document.querySelector(".chart canvas") !== null));
  await until("the gateway's shards", () => page.evaluate(() => document.querySelectorAll(".gateway tbody tr").length > 0));
  await until("a ticker", async () => /%/.test((await rowText(page, "BTCUSDT"))?.at(-1) ?? ""));
  await until("the price in the title", async () => /^\d[\d.]* BTCUSDT · Tickcast$/.test(await page.title()));
  expect(await page.evaluate(() => performance.getEntriesByType("resource").filter((entry) => new URL(entry.name).host !== location.host).length)).toBe(0);
  expect(complaints).toEqual([]);
});

test("every number of a list of a thousand is counted, and only rows on the screen exist", async () => {
  const gateway = await Gateway.start(["--source", "pulse", "--symbols", "1000", "--rate", "3000"]);
  const { page, complaints } = await openPage(at(gateway, "?pace=every&scope=all"));
  await quoted(page);
  await until("many ticks", async () => Number((await figures(page, "connection"))["events"]) > 20_000);
  const { lost, conflated } = await figures(page, "connection");
  expect({ lost, conflated }).toEqual({ lost: "0", conflated: "0" });
  expect(await page.locator(".rows .row").count()).toBeLessThan(80);
  await page.locator(".rows").evaluate((rows) => (rows.scrollTop = rows.scrollHeight));
  await until("the last row", async () => /\d/.test((await rowText(page, "S999"))?.[2] ?? ""));
  expect(complaints).toEqual([]);
});

test("the tape is full when the page opens, without a hole to what comes live", async () => {
  const { feed, args } = await stand();
  const gateway = await Gateway.start(args);
  const past = async () => ((await (await fetch(`http://127.0.0.1:${gateway.port}/v1/trades/${SYMBOL}`)).json()) as { trades?: unknown[] }).trades?.length ?? 0;
  await until("a past", async () => (await past()) > 30);
  const opened = await openPage(at(gateway));
  const prints = () => opened.page.locator(".print span:first-child").allTextContents();
  await until("the tape", async () => (await prints()).filter((text) => text !== "").length > 10);
  // It goes on, and for longer than it is tall.
  const first = Number((await figures(opened.page, "tape"))["seq"]);
  await until("more trades", async () => Number((await figures(opened.page, "tape"))["seq"]) > first + 40);
  await stands(opened, feed, gateway);
  expect(opened.complaints).toEqual([]);
});

test("it says what there is not", async () => {
  const empty = await Gateway.start(["--source", `shm:/dev/shm/tickcast-test-none-${process.pid}`], undefined, "without-feed");
  const { page } = await openPage(at(empty));
  await until("that there is no feed", async () => (await alarm(page)) === "Not live: this gateway has no feed yet. What is shown may be old.");
  const gateway = await Gateway.start(["--source", "pulse", "--symbols", "30"]);
  const other = await openPage(at(gateway, "?symbol=NOSUCH"));
  await quoted(other.page);
  await other.page.keyboard.press("/");
  await other.page.keyboard.type("<b>none");
  await other.page.getByText("No symbol matches.").waitFor();
  expect(await other.page.locator(".list .subject, .list h2").first().textContent()).toBe("Watch list 0 of 30");
  await other.page.keyboard.press("Escape");
  await quoted(other.page);
  expect(other.complaints).toEqual([]);
});

test("it is used by keys, and remembers", async () => {
  const gateway = await Gateway.start(["--symbols", "30"]);
  const { page } = await openPage(at(gateway));
  await quoted(page);
  const focused = () => page.locator(".chart h2").textContent();
  expect(await focused()).toBe("BTCUSDT");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("j");
  expect(await focused()).toBe("SOLUSDT");
  await page.keyboard.press("p");
  await until("the pin at the top", () => page.evaluate(() => document.querySelector('.row[aria-rowindex="2"] .pinned')?.textContent === "SOLUSDT"));
  await page.keyboard.press("]");
  await page.keyboard.press("/");
  await page.keyboard.type("doge");
  await until("one match", () => page.evaluate(() => document.querySelectorAll(".rows .row:not([hidden])").length === 1));
  await page.keyboard.press("Enter");
  expect(await focused()).toBe("DOGEUSDT");
  await page.locator("[aria-label='Width of the watch list']").focus();
  const width = () => page.locator(".panel.list").evaluate((panel) => panel.getBoundingClientRect().width);
  const before = await width();
  await page.keyboard.press("ArrowRight");
  expect(await width()).toBeGreaterThan(before);
  await page.keyboard.press("t");
  await page.reload();
  await quoted(page);
  expect(await focused()).toBe("DOGEUSDT");
  expect(await page.locator("[aria-pressed='true']").first().textContent()).toBe("5m");
  expect(await width()).toBeGreaterThan(before);
  expect(await page.evaluate(() => document.documentElement.dataset["theme"])).toBe("light");
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
});

test("the list is sorted by what moves, within what is found", async () => {
  const gateway = await Gateway.start(["--symbols", "20"]);
  const { page } = await openPage(at(gateway));
  await quoted(page);
  await until("changes", async () => /%/.test((await rowText(page, "ETHUSDT"))?.at(-1) ?? ""));
  await page.getByRole("columnheader", { name: "24 h" }).getByRole("button").click();
  await until("an order by change", () => page.evaluate(() => {
    const rows = [...document.querySelectorAll<HTMLElement>(".rows .row:not([hidden])")];
    rows.sort((a, b) => Number(a.getAttribute("aria-rowindex")) - Number(b.getAttribute("aria-rowindex")));
    const changes = rows.map((row) => Number(row.lastElementChild?.textContent?.replace("−", "-").replace("%", "")));
    // Values move between two sorts; the order is theirs at the last one.
    return changes.length >= 15 && changes.every((value, at) => at === 0 || (changes[at - 1] ?? 0) >= value - 0.2);
  }));
  expect(await page.locator("[aria-sort='descending']").count()).toBe(1);
});

for (const [width, height, colorScheme] of [
  [320, 640, "dark"], [390, 844, "light"], [768, 1024, "dark"], [1100, 700, "light"], [1440, 900, "light"], [2560, 1440, "dark"],
] as const) {
  test(`at ${width} px nothing is cut off and nobody is shut out (${colorScheme})`, async () => {
    const gateway = await Gateway.start(["--symbols", "20"]);
    const isPhone = width < 700;
    const { page, complaints } = await openPage(at(gateway), { viewport: { width, height }, colorScheme, isMobile: isPhone, hasTouch: isPhone });
    await quoted(page);
    const tabs = width < 1100 ? await page.locator(".tabs button:visible").count() : 1;
    for (let tab = 0; tab < tabs; tab += 1) {
      if (width < 1100) await page.locator(".tabs button:visible").nth(tab).click();
      await page.waitForTimeout(400);
      await whileLive(page, async () => {
        const outside = await page.evaluate(() => {
          const seen = [...document.querySelectorAll<HTMLElement>(".row > *, .level > span, .print > span, .tabs button")]
            .filter((cell) => cell.offsetParent !== null && getComputedStyle(cell).visibility === "visible" && !cell.closest(".row.head"));
          const cut = seen.filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => `${cell.className} ${cell.textContent}`);
          return { cut, page: document.documentElement.scrollWidth - innerWidth };
        });
        expect(outside).toEqual({ cut: [], page: 0 });
        expect(await barriers(page)).toEqual([]);
      });
    }
    expect(complaints).toEqual([]);
  });
}

test("the page with all it loads stays within its budget", () => {
  // The engine is in the worker; that of the page's own thread is loaded on demand only.
  const files = readdirSync(join(DIST, "assets")).filter((name) => name.endsWith(".gz") && !name.startsWith("engine-"));
  const total = files.reduce((sum, name) => sum + statSync(join(DIST, "assets", name)).size, statSync(join(DIST, "index.html.gz")).size);
  expect(files.length).toBeGreaterThan(3);
  expect(total).toBeLessThan(150_000);
});
