/** A gateway that asks for credentials: the page asks for a token, says what is wrong with it, and shows what it allows. */
import { afterAll, expect, test } from "vitest";

import { Access, KEY } from "../../client/test/support/access.ts";
import { Gateway, until } from "../../client/test/support/process.ts";
import { alarm, barriers, closeBrowser, figures, openPage, quoted, rowText } from "./support/page.ts";

afterAll(closeBrowser);

test("a token is asked for, and what it allows is shown", async () => {
  const access = new Access(["*.*", "!ETHUSDT.*"]);
  const gateway = await Gateway.start(["--symbols", "5", "--rate", "500", ...access.args]);
  const { page, complaints } = await openPage(`http://127.0.0.1:${gateway.port}/`);
  const dialog = page.getByRole("dialog", { name: "Token" });
  await dialog.getByText("This gateway asks for a token.").waitFor();
  await until("the page to say so", async () => (await alarm(page)).startsWith("Not live: this gateway asks for a token"));
  await page.keyboard.type("nonsense");
  await page.keyboard.press("Enter");
  await dialog.getByText(/the server refused the token/).waitFor();
  await page.keyboard.type(KEY);
  await page.keyboard.press("Enter");
  await quoted(page);
  await until("book, tape and candles", async () => (await figures(page, "book"))["seq"] && (await figures(page, "tape"))["seq"]
    && Number((await figures(page, "chart"))["bars"]) >= 0);
  await until("the page to be live", async () => (await alarm(page)) === "");
  expect(await rowText(page, "BTCUSDT")).not.toBeNull();
  expect(await rowText(page, "ETHUSDT")).toBeNull();
  // It is this tab's: a reload has it, and what is kept for all tabs has not.
  await page.reload();
  await quoted(page);
  expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain("key-of-the-desk");
  await page.keyboard.press(",");
  await page.getByRole("button", { name: "Forget the token" }).click();
  await dialog.getByText("This gateway asks for a token.").waitFor();
  expect(complaints).toEqual([]);
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`whoever cannot see or point is asked, too, at 320 px (${colorScheme})`, async () => {
    const gateway = await Gateway.start(["--symbols", "5", ...new Access().args]);
    const { page, complaints } = await openPage(`http://127.0.0.1:${gateway.port}/`, { viewport: { width: 320, height: 640 }, colorScheme, isMobile: true, hasTouch: true });
    const dialog = page.getByRole("dialog", { name: "Token" });
    await dialog.getByText("This gateway asks for a token.").waitFor();
    expect(await barriers(page)).toEqual([]);
    await page.keyboard.type(KEY);
    await page.keyboard.press("Enter");
    await quoted(page);
    for (const [key, name] of [["?", "Keys"], [",", "Settings"]] as const) {
      await page.keyboard.press(key);
      const opened = page.getByRole("dialog", { name });
      await opened.waitFor();
      expect(await barriers(page)).toEqual([]);
      const box = await opened.boundingBox();
      expect(box && box.x >= 0 && box.x + box.width <= 320).toBe(true);
      await page.keyboard.press("Escape");
      await opened.waitFor({ state: "detached" });
    }
    expect(complaints).toEqual([]);
  });
}

test("a token that is revoked ends what is shown, and another is asked for", async () => {
  const access = new Access();
  const gateway = await Gateway.start(["--symbols", "5", "--rate", "500", ...access.args]);
  const { page } = await openPage(`http://127.0.0.1:${gateway.port}/`);
  await page.getByRole("dialog", { name: "Token" }).waitFor();
  await page.keyboard.type(KEY);
  await page.keyboard.press("Enter");
  await quoted(page);
  access.revoke();
  gateway.process.signal("SIGHUP");
  await page.getByRole("dialog", { name: "Token" }).getByText(/credential/).waitFor();
  await until("the page to say so", async () => (await alarm(page)).startsWith("Not live: closed for good"));
});
