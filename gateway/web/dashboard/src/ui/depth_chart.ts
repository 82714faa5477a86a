/** The depth chart: how much must be traded to move the price so far. */
import type { Book } from "../engine/protocol.ts";
import { element, panel, Sketch, Text } from "./element.ts";
import { colour, onColours } from "./palette.ts";

/** How much of the book is drawn: up to where the price is off by this share, or to its end. */
const REACH = 0.02;
/** Redrawn so often at most: a shape is not read faster. */
const EVERY_MS = 100;

export class DepthChart {
  readonly root: HTMLElement;
  readonly subject: Text;
  private readonly sketch = new Sketch((context, width, height) => this.draw(context, width, height));
  private readonly summary = new Text();
  private book: Book | null = null;
  private paintedMs = 0;
  private isDue = false;

  constructor(private readonly priceText: (mantissa: number) => string) {
    const frame = panel("depth", "Depth", this.sketch.canvas);
    frame.root.classList.add("live");
    frame.extra.append(element("span", { class: "quiet" }, this.summary.node));
    this.root = frame.root;
    this.subject = frame.subject;
    onColours(() => this.sketch.paint());
  }

  clear(): void {
    this.book = null;
    this.summary.write("");
    this.sketch.paint();
  }

  update(book: Book): void {
    this.book = book;
    this.isDue = true;
  }

  paint(nowMs: number): void {
    if (!this.isDue || nowMs - this.paintedMs < EVERY_MS) return;
    this.isDue = false;
    this.paintedMs = nowMs;
    this.summary.write(this.book ? `${this.book.levels} levels` : "");
    this.sketch.paint();
  }

  private draw(context: CanvasRenderingContext2D, width: number, height: number): void {
    const { bidCurve, askCurve } = this.book ?? { bidCurve: new Float64Array(), askCurve: new Float64Array() };
    const [bid, ask] = [bidCurve[0] ?? 0, askCurve[0] ?? 0];
    if (bid === 0 || ask === 0) {
      context.fillStyle = colour("quiet");
      context.textAlign = "center";
      context.font = "12px system-ui, sans-serif";
      context.fillText("No book", width / 2, height / 2);
      return;
    }
    const middle = (bid + ask) / 2;
    const end = (curve: Float64Array) => Math.abs((curve[curve.length - 2] ?? middle) - middle);
    const reach = Math.min(middle * REACH, Math.max(end(bidCurve), end(askCurve), middle * 1e-6));
    const within = (curve: Float64Array) => {
      let most = 0;
      for (let i = 0; i + 1 < curve.length && Math.abs((curve[i] ?? 0) - middle) <= reach; i += 2) most = curve[i + 1] ?? most;
      return most;
    };
    const most = Math.max(within(bidCurve), within(askCurve), Number.MIN_VALUE);
    const ground = height - 18;
    const x = (price: number) => width / 2 + ((price - middle) / reach) * (width / 2);
    const y = (sum: number) => ground - (sum / most) * (ground - 8);
    this.side(context, bidCurve, x, y, { edge: 0, ground, line: colour("up"), wash: colour("up-wash") });
    this.side(context, askCurve, x, y, { edge: width, ground, line: colour("down"), wash: colour("down-wash") });
    this.axis(context, width, height, middle, reach);
  }

  private side(
    context: CanvasRenderingContext2D,
    curve: Float64Array,
    x: (price: number) => number,
    y: (sum: number) => number,
    style: { edge: number; ground: number; line: string; wash: string },
  ): void {
    const path = new Path2D();
    let before = style.ground;
    path.moveTo(x(curve[0] ?? 0), style.ground);
    for (let i = 0; i + 1 < curve.length; i += 2) {
      const at = x(curve[i] ?? 0);
      if ((style.edge === 0 && at < 0) || (style.edge > 0 && at > style.edge)) break;
      path.lineTo(at, before);
      before = y(curve[i + 1] ?? 0);
      path.lineTo(at, before);
    }
    path.lineTo(style.edge, before);
    context.strokeStyle = style.line;
    context.lineWidth = 1.5;
    context.stroke(path);
    path.lineTo(style.edge, style.ground);
    path.closePath();
    context.fillStyle = style.wash;
    context.fill(path);
  }

  private axis(context: CanvasRenderingContext2D, width: number, height: number, middle: number, reach: number): void {
    context.fillStyle = colour("quiet");
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "alphabetic";
    for (const [share, align] of [[-1, "left"], [0, "center"], [1, "right"]] as const) {
      context.textAlign = align;
      const inset = share === 0 ? 0 : -6 * share;
      context.fillText(this.priceText(Math.round(middle + share * reach)), (width / 2) * (1 + share) + inset, height - 5);
    }
  }
}
