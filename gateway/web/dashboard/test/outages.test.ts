/** The page through outages: it says so, comes back by itself, and then shows what the gateway has. */
import { existsSync, rmSync } from "node:fs";
import { afterAll, expect, onTestFinished, test } from "vitest";

import { freePort, Gateway, Process, sleep, until } from "../../client/test/support/process.ts";
import { Proxy } from "../../client/test/support/proxy.ts";
import { alarm, closeBrowser, figures, listenToAlarms, openPage, putToSleep, quoted, type Opened } from "./support/page.ts";
import { stand, stands } from "./support/stand.ts";

afterAll(closeBrowser);

/** Trades flow, and the first numbers are noted. */
async function flowing({ page }: Opened): Promise<number> {
  await quoted(page);
  return until("trades", async () => Number((await figures(page, "tape"))["seq"]) || undefined);
}

/** Trades went on after `before` without a hole, some of them by resuming. */
async function filled({ page, complaints }: Opened, before: number): Promise<void> {
  await until("trades after the outage", async () => Number((await figures(page, "tape"))["seq"]) > before);
  // The panel is written once a second.
  await until("resumed trades to be counted", async () => Number((await figures(page, "connection"))["resumed"]) > 0);
  const { lost, lastLost } = await figures(page, "connection");
  expect({ lost, lastLost }).toEqual({ lost: "0", lastLost: "" });
  expect(await page.locator(".print.gap").count()).toBe(0);
  expect(complaints).toEqual([]);
}

test("a gateway that was killed and started again is met again", async () => {
  const { feed, args } = await stand();
  const port = await freePort();
  const first = await Gateway.start(args, port);
  const opened = await openPage(`http://127.0.0.1:${port}/`);
  await flowing(opened);
  await first.process.kill();
  await until("the page to say so", async () => (await alarm(opened.page)).startsWith("Not live:"));
  const before = Number((await figures(opened.page, "tape"))["seq"]);
  await sleep(4000);
  const second = await Gateway.start(args, port);
  await until("the page to be live", async () => (await alarm(opened.page)) === "");
  await filled(opened, before);
  await stands(opened, feed, second);
});

test("a network that was gone for ten seconds costs no trade", async () => {
  const { feed, args } = await stand();
  const gateway = await Gateway.start(args);
  const proxy = await Proxy.before(gateway.port);
  const opened = await openPage(`http://127.0.0.1:${proxy.port}/`);
  await flowing(opened);
  proxy.stall();
  await until("the page to say so", async () => (await alarm(opened.page)).startsWith("Not live:"));
  const before = Number((await figures(opened.page, "tape"))["seq"]);
  await sleep(10_000);
  proxy.heal();
  await until("the page to be live", async () => (await alarm(opened.page)) === "");
  await filled(opened, before);
  await stands(opened, feed, gateway);
});

test("a page that slept says so and catches up", async () => {
  const { feed, args } = await stand();
  const gateway = await Gateway.start(args);
  const opened = await openPage(`http://127.0.0.1:${gateway.port}/`);
  await flowing(opened);
  const before = Number((await figures(opened.page, "tape"))["seq"]);
  // Chromium freezes no page that is seen, and a page without a window always is: its process is stopped instead.
  const said = await listenToAlarms(opened.page);
  const wake = await putToSleep();
  await sleep(8000);
  wake();
  await until("the page to say so", async () => (await said()).some((text) => /asleep for \d+ s/.test(text)));
  await until("the page to be live", async () => (await alarm(opened.page)) === "");
  await until("trades after the sleep", async () => Number((await figures(opened.page, "tape"))["seq"]) > before);
  expect((await figures(opened.page, "connection"))["lost"]).toBe("0");
  expect(opened.complaints).toEqual([]);
  await stands(opened, feed, gateway);
});

test("a feed that began anew is followed", async () => {
  const path = `/dev/shm/tickcast-test-page-${process.pid}-anew`;
  onTestFinished(() => rmSync(path, { force: true }));
  const args = ["--out", `shm:${path}`, "--symbols", "5", "--rate", "300"];
  const first = new Process("feed-sim", args);
  await until("the ring's file", () => existsSync(path));
  const gateway = await Gateway.start(["--source", `shm:${path}`, "--feed-silent-after", "1s"]);
  const opened = await openPage(`http://127.0.0.1:${gateway.port}/`);
  await flowing(opened);
  await first.kill();
  await until("the page to say so", async () => /the feed is silent/.test(await alarm(opened.page)));
  const second = new Process("feed-sim", args);
  await until("the page to be live", async () => (await alarm(opened.page)) === "");
  await until("trades", async () => Number((await figures(opened.page, "tape"))["seq"]) > 0);
  await stands(opened, second, gateway);
  expect(opened.complaints).toEqual([]);
});
