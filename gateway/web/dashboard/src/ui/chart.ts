/**
 * The candle chart: history from `/v1/bars`, then live bars.
 *
 * Prices go in as mantissas, which are exact as numbers, and come out through the decimal's own writing: no
 * price is ever a fraction.
 */
import {
  CandlestickSeries, ColorType, createChart, HistogramSeries, type IChartApi, type ISeriesApi, type UTCTimestamp,
} from "lightweight-charts";
import { formatDecimal } from "@tickcast/client";
import type { Bar, Interval } from "../engine/protocol.ts";
import { element } from "./element.ts";
import { colour, onColours } from "./palette.ts";

/** Bars on the screen at first. */
const SHOWN = 110;

export interface Exponents {
  readonly price: number;
  readonly quantity: number;
}

export class CandleChart {
  private readonly chart: IChartApi;
  private readonly candles: ISeriesApi<"Candlestick">;
  private readonly volumes: ISeriesApi<"Histogram">;
  private readonly legend = element("div", { class: "legend" });
  private readonly over = element("div", { class: "over quiet" });
  private exponents: Exponents = { price: 0, quantity: 0 };
  /** What is shown, by the second it opened at; the last is live. */
  private bars = new Map<number, Bar>();
  private newest: Bar | null = null;
  private isDue = false;
  private hovered: Bar | null = null;

  constructor(place: HTMLElement) {
    const canvas = element("div", { class: "canvas" });
    place.replaceChildren(canvas, this.legend, this.over);
    this.chart = createChart(canvas, {
      autoSize: true,
      // Its link is in the help, beside the licences: the logo would bring a style sheet of its own.
      layout: { attributionLogo: false, fontSize: 11, fontFamily: "system-ui, sans-serif" },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4, borderVisible: false, minBarSpacing: 1 },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.12, bottom: 0.24 } },
      crosshair: { mode: 0 },
      localization: { priceFormatter: (mantissa: number) => this.priceText(mantissa) },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, {
      priceFormat: { type: "custom", minMove: 1, formatter: (mantissa: number) => this.priceText(mantissa) },
    });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", lastValueVisible: false, priceLineVisible: false,
      priceFormat: { type: "custom", minMove: 1, formatter: (mantissa: number) => this.quantityText(mantissa) },
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    this.chart.subscribeCrosshairMove((event) => {
      this.hovered = typeof event.time === "number" ? (this.bars.get(event.time) ?? null) : null;
      this.writeLegend();
    });
    onColours(() => this.dress());
    this.dress();
  }

  /** Shows a history in place of what there is. */
  reset(bars: readonly Bar[], exponents: Exponents, interval: Interval): void {
    this.exponents = exponents;
    this.bars = new Map(bars.map((bar) => [bar.openS, bar]));
    this.newest = bars.at(-1) ?? null;
    this.hovered = null;
    this.isDue = false;
    this.chart.applyOptions({ timeScale: { secondsVisible: interval === "1s" } });
    this.candles.setData(bars.map((bar) => this.candle(bar)));
    this.volumes.setData(bars.map((bar) => this.volume(bar)));
    // As wide with few bars as with many.
    this.chart.timeScale().setVisibleLogicalRange({ from: bars.length - SHOWN, to: bars.length + 3 });
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

  paint(): void {
    if (!this.isDue || !this.newest) return;
    this.isDue = false;
    this.candles.update(this.candle(this.newest));
    this.volumes.update(this.volume(this.newest));
    if (!this.hovered) this.writeLegend();
  }

  /** Says why there is nothing to see; empty: there is. */
  say(text: string): void {
    this.over.textContent = text;
  }

  private candle(bar: Bar) {
    return { time: bar.openS as UTCTimestamp, open: bar.open, high: bar.high, low: bar.low, close: bar.close };
  }

  private volume(bar: Bar) {
    const color = colour(bar.close >= bar.open ? "up-wash" : "down-wash");
    return { time: bar.openS as UTCTimestamp, value: bar.volume, color };
  }

  private writeLegend(): void {
    const bar = this.hovered ?? this.newest;
    const parts = bar
      ? ([["O", bar.open], ["H", bar.high], ["L", bar.low], ["C", bar.close]] as const).flatMap(([name, mantissa]) => [
          `${name} `, element("b", {}, this.priceText(mantissa)),
        ])
      : [];
    this.legend.replaceChildren(...parts, ...(bar ? ["V ", element("b", {}, this.quantityText(bar.volume))] : []));
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
  }

  private priceText(mantissa: number): string {
    return formatDecimal(Math.round(mantissa), this.exponents.price);
  }

  private quantityText(mantissa: number): string {
    return formatDecimal(Math.round(mantissa), this.exponents.quantity);
  }
}
