/** The trade tape: newest first, and where some are missing it says how many. */
import type { Print } from "../engine/protocol.ts";
import { element, Mark, panel, Text } from "./element.ts";

const PRINT_PX = 20;
const PRINTS_MAX = 300;
/** After so many prints places are counted anew. */
const PLACE_MAX = 100_000;

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
let timeOf = { second: -1, text: "" };

/** `13:05:09`; most prints of a frame are of one second. */
function clock(timeMs: number): string {
  const second = Math.floor(timeMs / 1000);
  if (second !== timeOf.second) timeOf = { second, text: TIME.format(second * 1000) };
  return timeOf.text;
}

/** A place for a print. It is written once for each, and moves with all others: a new trade is one new line, not a list of them. */
class Slip {
  readonly node: HTMLElement;
  private readonly texts = [new Text(), new Text(), new Text()];
  private readonly mark: Mark;
  private readonly price: Mark;
  private at = Number.NaN;
  private print: Print | undefined;

  constructor() {
    const cells = this.texts.map((text) => element("span", {}, text.node));
    this.node = element("div", { class: "print" }, ...cells);
    this.mark = new Mark(this.node);
    this.price = new Mark(cells[0] ?? this.node);
  }

  show(print: Print | undefined, at: number): void {
    if (at !== this.at) this.node.style.top = `${-at * PRINT_PX}px`;
    else if (print === this.print) return;
    [this.at, this.print] = [at, print];
    const [price, size, time] = this.texts;
    if (!print || print.kind === "gap") {
      this.mark.write(print ? "print gap" : "print");
      price?.write(print ? `${print.count} trades missing (${print.reason})` : "");
      size?.write("");
      time?.write("");
      this.price.write("");
      return;
    }
    this.mark.write("print");
    this.price.write(print.side === "buy" ? "up" : "down");
    price?.write(`${print.side === "buy" ? "▲" : "▼"} ${print.price}`);
    size?.write(print.size);
    time?.write(clock(print.timeMs));
  }
}

export class Tape {
  readonly root: HTMLElement;
  readonly subject: Text;
  /** Moves down by a line for each print. */
  private readonly layer = element("div", { class: "layer" });
  private readonly viewport = element("div", { class: "prints" }, this.layer);
  private readonly slips: Slip[] = [];
  /** Newest last; bounded. */
  private prints: Print[] = [];
  /** How many came before the first of them. */
  private gone = 0;
  private shown = 0;
  private isDue = false;

  constructor() {
    const columns = element("div", { class: "columns" }, element("span", {}, "Price"), element("span", {}, "Size"),
      element("span", {}, "Time"));
    const frame = panel("tape", "Trades", columns, this.viewport);
    frame.root.classList.add("live");
    this.root = frame.root;
    this.subject = frame.subject;
    new ResizeObserver(() => this.fit()).observe(this.viewport);
  }

  /** `past` is older than all that there is. */
  update(prints: readonly Print[], anew: boolean, past: readonly Print[]): void {
    if (anew) [this.prints, this.gone] = [[], 0];
    else if (prints.length + past.length === 0) return;
    this.prints.unshift(...past);
    this.gone -= past.length;
    this.prints.push(...prints);
    const surplus = Math.max(0, this.prints.length - PRINTS_MAX);
    this.prints.splice(0, surplus);
    this.gone += surplus;
    // Far from the middle, pixels are not exact.
    if (this.gone > PLACE_MAX) this.gone = 0;
    this.isDue = true;
    this.note();
  }

  paint(): void {
    if (!this.isDue) return;
    this.isDue = false;
    const newest = this.gone + this.prints.length - 1;
    for (let at = newest; at > newest - this.shown; at -= 1) {
      const slot = ((at % this.shown) + this.shown) % this.shown;
      this.slips[slot]?.show(this.prints[at - this.gone], at);
    }
    this.layer.style.transform = `translateY(${newest * PRINT_PX}px)`;
  }

  /** How far the tape goes back without a hole: first and last number. */
  private note(): void {
    const newest = this.prints.at(-1);
    if (newest?.kind !== "trade") return;
    let first = Number(newest.seq);
    for (let i = this.prints.length - 2; i >= 0; i -= 1) {
      const print = this.prints[i];
      if (print?.kind !== "trade" || print.seq === "" || Number(print.seq) !== first - 1) break;
      first -= 1;
    }
    this.root.dataset["first"] = String(first);
    this.root.dataset["seq"] = newest.seq;
  }

  private fit(): void {
    this.shown = Math.ceil(this.viewport.clientHeight / PRINT_PX);
    while (this.slips.length < this.shown) {
      const slip = new Slip();
      this.slips.push(slip);
      this.layer.append(slip.node);
    }
    this.slips.forEach((slip, at) => (slip.node.hidden = at >= this.shown));
    this.isDue = true;
  }
}
