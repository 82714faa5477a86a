/**
 * The candle chart: history from `/v1/bars`, then live bars.
 *
 * Prices go in as mantissas, which are exact as numbers, and come out through the decimal's own writing: no
 * price is ever a fraction.
 */
import {
  CandlestickSeries, ColorType, createChart, HistogramSeries, type IChartApi, type IPriceLine, type ISeriesApi, LineStyle, type UTCTimestamp,
} from "lightweight-charts";
import { formatDecimal } from "@tickcast/client";
import type { Bar, Interval } from "../engine/protocol.ts";
import { element, Text } from "./element.ts";
import { colour, onColours } from "./palette.ts";

/** Redrawn so often at most: each time it is all of the canvas. */
const EVERY_MS = 150;
/** Bars on the screen at first, where there is room for so many at this width each. */
const SHOWN = 110;
const BAR_PX = 4;
/** Right of the last bar: half of the label below it. */
const MARGIN_PX = 24;

export interface Exponents {
  readonly price: number;
  readonly quantity: number;
}

export class CandleChart {
  private readonly chart: IChartApi;
  private readonly candles: ISeriesApi<"Candlestick">;
  private readonly volumes: ISeriesApi<"Histogram">;
  /** Where the price is now. */
  private readonly last: IPriceLine;
  private readonly values = [..."OHLCV"].map(() => new Text());
  private readonly legend = element("div", { class: "legend", hidden: true },
    ...[..."OHLCV"].flatMap((name, at) => [element("span", {}, `${name} `, element("b", {}, this.values[at]?.node ?? "")), " "]));
  private readonly over = element("div", { class: "over quiet" });
  private exponents: Exponents = { price: 0, quantity: 0 };
  /** From UTC to the clock on the wall, which the tape shows, too. */
  private zoneS = 0;
  /** What is shown, by the second it opened at; the last is live. */
  private bars = new Map<number, Bar>();
  private newest: Bar | null = null;
  private isDue = false;
  private paintedMs = 0;
  private hovered: Bar | null = null;

  constructor(place: HTMLElement) {
    const canvas = element("div", { class: "canvas" });
    place.replaceChildren(canvas, this.legend, this.over);
    this.chart = createChart(canvas, {
      autoSize: true,
      // Its link is in the help, beside the licences: the logo would bring a style sheet of its own.
      layout: { attributionLogo: false, fontSize: 11, fontFamily: "system-ui, sans-serif" },
      // The library knows of no time zones: it is given this one's times, see `zoneS`.
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4, borderVisible: false, minBarSpacing: 1 },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.12, bottom: 0.24 }, entireTextOnly: true },
      crosshair: { mode: 0 },
      localization: { priceFormatter: (mantissa: number) => this.priceText(mantissa) },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, {
      priceFormat: { type: "custom", minMove: 1, formatter: (mantissa: number) => this.priceText(mantissa) },
      // Theirs have the colour of a candle's inside, which a hollow one does not have.
      lastValueVisible: false, priceLineVisible: false,
    });
    this.last = this.candles.createPriceLine({ price: 0, lineWidth: 1, lineStyle: LineStyle.Dotted, axisLabelVisible: false, lineVisible: false });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", lastValueVisible: false, priceLineVisible: false,
      priceFormat: { type: "custom", minMove: 1, formatter: (mantissa: number) => this.quantityText(mantissa) },
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    this.chart.subscribeCrosshairMove((event) => {
      this.hovered = typeof event.time === "number" ? (this.bars.get(event.time - this.zoneS) ?? null) : null;
      this.writeLegend();
    });
    onColours(() => this.dress());
    this.dress();
  }

  /** Shows a history in place of what there is. */
  reset(bars: readonly Bar[], exponents: Exponents, interval: Interval): void {
    this.exponents = exponents;
    // One offset for all: times must grow, and where clocks are set back they would not. Days are the venue's.
    this.zoneS = interval === "1d" ? 0 : -60 * new Date().getTimezoneOffset();
    this.bars = new Map(bars.map((bar) => [bar.openS, bar]));
    this.newest = bars.at(-1) ?? null;
    this.hovered = null;
    this.isDue = false;
    this.chart.applyOptions({ timeScale: { secondsVisible: interval === "1s" } });
    this.candles.setData(bars.map((bar) => this.candle(bar)));
    this.volumes.setData(bars.map((bar) => this.volume(bar)));
    // As wide with few bars as with many.
    const scale = this.chart.timeScale();
    const px = scale.width() || SHOWN * BAR_PX;
    const shown = Math.min(SHOWN, Math.round(px / BAR_PX));
    scale.setVisibleLogicalRange({ from: bars.length - shown, to: bars.length + Math.max(3, Math.ceil((MARGIN_PX / px) * shown)) });
    this.writeLast();
    this.writeLegend();
  }

  /** A live bar: the last one changed, or the next began. An older one is a repetition. */
  update(bar: Bar): void {
    if (this.newest && bar.openS < this.newest.openS) return;
    this.bars.set(bar.openS, bar);
    this.newest = bar;
    this.isDue = true;
    this.over.textContent = "";
  }

  paint(nowMs: number): void {
    if (!this.isDue || !this.newest || nowMs - this.paintedMs < EVERY_MS) return;
    this.isDue = false;
    this.paintedMs = nowMs;
    this.candles.update(this.candle(this.newest));
    this.volumes.update(this.volume(this.newest));
    this.writeLast();
    if (!this.hovered) this.writeLegend();
  }

  /** Says why there is nothing to see; empty: there is. */
  say(text: string): void {
    this.over.textContent = text;
  }

  private candle(bar: Bar) {
    return { time: this.time(bar), open: bar.open, high: bar.high, low: bar.low, close: bar.close };
  }

  private time(bar: Bar): UTCTimestamp {
    return (bar.openS + this.zoneS) as UTCTimestamp;
  }

  private writeLast(): void {
    const { newest } = this;
    const color = colour(newest && newest.close < newest.open ? "down" : "up");
    this.last.applyOptions({
      price: newest?.close ?? 0, color, lineVisible: newest !== null, axisLabelVisible: newest !== null, axisLabelColor: color,
      axisLabelTextColor: colour("panel"),
    });
  }

  private volume(bar: Bar) {
    const color = colour(bar.close >= bar.open ? "up-wash" : "down-wash");
    return { time: this.time(bar), value: bar.volume, color };
  }

  private writeLegend(): void {
    const bar = this.hovered ?? this.newest;
    this.legend.hidden = bar === null;
    if (!bar) return;
    const values = [bar.open, bar.high, bar.low, bar.close].map((mantissa) => this.priceText(mantissa));
    [...values, this.quantityText(bar.volume)].forEach((text, at) => this.values[at]?.write(text));
  }

  private dress(): void {
    const [up, down] = [colour("up"), colour("down")];
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: colour("quiet") },
      grid: { vertLines: { color: colour("raised") }, horzLines: { color: colour("raised") } },
    });
    // Up is hollow, down is filled: told apart without colour too.
    this.candles.applyOptions({
      upColor: colour("panel"), downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down,
    });
    this.volumes.setData([...this.bars.values()].map((bar) => this.volume(bar)));
    this.writeLast();
  }

  private priceText(mantissa: number): string {
    return formatDecimal(Math.round(mantissa), this.exponents.price);
  }

  private quantityText(mantissa: number): string {
    return formatDecimal(Math.round(mantissa), this.exponents.quantity);
  }
}
