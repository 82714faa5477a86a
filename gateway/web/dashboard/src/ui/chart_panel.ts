/** The panel around the candle chart: what instrument, its day in numbers, and the interval. The library comes when it is needed. */
import { parseDecimal } from "@tickcast/client";
import type { Bar, FocusRow, Interval } from "../engine/protocol.ts";
import { get } from "../rest.ts";
import { element, Mark, moveClass, panel, Text } from "./element.ts";
import type { CandleChart, Exponents } from "./chart.ts";

export const INTERVALS: readonly Interval[] = ["1s", "1m", "5m", "15m", "1h", "4h", "1d"];
const HISTORY = 500;

/** `GET /v1/bars/SYMBOL`, as far as it is read here. */
interface BarsAnswer {
  readonly bars: readonly Readonly<Record<"ts_open" | "open" | "high" | "low" | "close" | "volume", string>>[];
}

export class ChartPanel {
  readonly root: HTMLElement;
  private readonly name = new Text("–");
  private readonly price = new Text("");
  private readonly priceMark: Mark;
  private readonly facts: readonly [keyof FocusRow, Text][];
  private readonly change: Mark;
  private readonly buttons = new Map<Interval, HTMLButtonElement>();
  private readonly place: HTMLElement;
  private chart: CandleChart | null = null;
  private symbol: string | null = null;
  private interval: Interval;
  private exponents: Exponents | null = null;
  /** Live bars that came before the history. */
  private early: Bar[] = [];
  private load = 0;
  private isLoaded = false;

  constructor(interval: Interval, onInterval: (interval: Interval) => void) {
    this.interval = interval;
    const frame = panel("chart", "", "");
    frame.root.classList.add("live");
    const price = element("span", { class: "price" }, this.price.node);
    this.priceMark = new Mark(price);
    const change = new Text();
    const changeNode = element("span", {}, change.node);
    this.change = new Mark(changeNode);
    const fact = (title: string, key: keyof FocusRow): [HTMLElement, [keyof FocusRow, Text]] => {
      const text = new Text();
      return [element("span", { class: "pair" }, `${title} `, element("b", {}, text.node)), [key, text]];
    };
    const facts = [fact("High", "high"), fact("Low", "low"), fact("Volume", "volume"), fact("Trades", "trades")];
    this.facts = [["change", change], ...facts.map(([, pair]) => pair)];
    const heading = frame.root.querySelector("h2");
    heading?.replaceChildren(this.name.node);
    const lead = element("div", { class: "lead" }, heading ?? "", price, changeNode, ...facts.map(([node]) => node));
    frame.root.querySelector("header")?.prepend(lead);
    const group = element("div", { class: "intervals", role: "group", "aria-label": "Interval" });
    for (const one of INTERVALS) {
      const button = element("button", { onclick: () => onInterval(one), "aria-pressed": String(one === interval) }, one);
      this.buttons.set(one, button);
      group.append(button);
    }
    frame.extra.append(group);
    this.place = frame.body;
    this.root = frame.root;
  }

  /** Looks at another instrument or interval: empty until its history is there. */
  look(symbol: string | null, interval: Interval): void {
    if (symbol === this.symbol && interval === this.interval && this.load > 0) return;
    for (const [one, button] of this.buttons) button.setAttribute("aria-pressed", String(one === interval));
    if (symbol !== this.symbol) {
      this.name.write(symbol ?? "–");
      this.price.write("");
      for (const [, text] of this.facts) text.write("");
      this.exponents = null;
    }
    [this.symbol, this.interval] = [symbol, interval];
    void this.reload();
  }

  /** Fetches the history again: after an outage there may be bars that never came. */
  async reload(): Promise<void> {
    const load = ++this.load;
    const { symbol, interval } = this;
    this.isLoaded = false;
    this.early = [];
    if (symbol === null || !this.exponents) return;
    this.chart ??= new (await import("./chart.ts")).CandleChart(this.place);
    let bars: Bar[] = [];
    let trouble = "";
    try {
      const answer = await get(`/v1/bars/${encodeURIComponent(symbol)}?interval=${interval}&limit=${HISTORY}`);
      if (answer.ok) bars = this.parse((await answer.json()) as BarsAnswer, symbol, interval);
      else trouble = answer.status === 404 ? "no history here" : `no history (HTTP ${answer.status})`;
    } catch {
      trouble = "no history: the gateway does not answer";
    }
    // Somebody has looked elsewhere meanwhile.
    if (load !== this.load || !this.exponents) return;
    this.isLoaded = true;
    this.chart.reset(bars, this.exponents, interval);
    this.chart.say(bars.length === 0 ? `No bars of ${symbol} yet${trouble ? `: ${trouble}` : ""}.` : "");
    this.root.dataset["bars"] = String(bars.length);
    for (const bar of this.early) this.update(bar);
    this.early = [];
  }

  focus(row: FocusRow): void {
    if (row.symbol !== this.symbol) return;
    if (!this.exponents) {
      this.exponents = { price: row.priceExponent, quantity: row.quantityExponent };
      void this.reload();
    }
    const move = row.lastMove === 0 ? "" : row.lastMove > 0 ? " ▲" : " ▼";
    if (this.price.write(row.last + move) && row.lastMove !== 0) this.priceMark.write(`price ${moveClass(row.lastMove)}`);
    for (const [key, text] of this.facts) text.write(String(row[key]));
    this.change.write(moveClass(row.changeMove));
  }

  update(bar: Bar): void {
    if (bar.symbol !== this.symbol || bar.interval !== this.interval) return;
    if (this.isLoaded) this.chart?.update(bar);
    else this.early.push(bar);
  }

  paint(nowMs: number): void {
    this.chart?.paint(nowMs);
  }

  private parse(answer: BarsAnswer, symbol: string, interval: Interval): Bar[] {
    const { price = 0, quantity = 0 } = this.exponents ?? {};
    const exact = (text: string, exponent: number) => Number(parseDecimal(text, exponent));
    return answer.bars.map((bar) => ({
      symbol, interval,
      openS: Number(BigInt(bar.ts_open) / 1_000_000_000n),
      open: exact(bar.open, price), high: exact(bar.high, price), low: exact(bar.low, price), close: exact(bar.close, price),
      volume: exact(bar.volume, quantity),
      isFinal: true,
    }));
  }
}
