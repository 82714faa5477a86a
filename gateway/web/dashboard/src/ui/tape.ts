/** The trade tape: newest first, and where some are missing it says how many. */
import type { Print } from "../engine/protocol.ts";
import { element, Mark, panel, Text } from "./element.ts";

const PRINT_PX = 20;
const PRINTS_MAX = 300;

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
let timeOf = { second: -1, text: "" };

/** `13:05:09`; most prints of a frame are of one second. */
function clock(timeMs: number): string {
  const second = Math.floor(timeMs / 1000);
  if (second !== timeOf.second) timeOf = { second, text: TIME.format(second * 1000) };
  return timeOf.text;
}

class Slip {
  readonly node: HTMLElement;
  private readonly texts = [new Text(), new Text(), new Text()];
  private readonly mark: Mark;
  private readonly price: Mark;

  constructor(at: number) {
    const cells = this.texts.map((text) => element("span", {}, text.node));
    this.node = element("div", { class: "print" }, ...cells);
    this.node.style.top = `${at * PRINT_PX}px`;
    this.mark = new Mark(this.node);
    this.price = new Mark(cells[0] ?? this.node);
  }

  write(print: Print | undefined): void {
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
  private readonly viewport = element("div", { class: "prints" });
  private readonly slips: Slip[] = [];
  /** Newest last; bounded. */
  private prints: Print[] = [];
  private shown = 0;
  private isDue = false;

  constructor() {
    const columns = element("div", { class: "columns" }, element("span", {}, "Price"), element("span", {}, "Size"),
      element("span", {}, "Time"));
    const frame = panel("tape", "Trades", columns, this.viewport);
    frame.root.classList.add("live");
    this.root = frame.root;
    new ResizeObserver(() => this.fit()).observe(this.viewport);
  }

  update(prints: readonly Print[], anew: boolean): void {
    if (anew) this.prints = [];
    else if (prints.length === 0) return;
    this.prints.push(...prints);
    if (this.prints.length > PRINTS_MAX) this.prints.splice(0, this.prints.length - PRINTS_MAX);
    this.isDue = true;
    this.note();
  }

  paint(): void {
    if (!this.isDue) return;
    this.isDue = false;
    const last = this.prints.length - 1;
    for (let i = 0; i < this.shown; i += 1) this.slips[i]?.write(this.prints[last - i]);
  }

  /** How far the tape goes back without a hole: first and last number. */
  private note(): void {
    const newest = this.prints.at(-1);
    if (newest?.kind !== "trade") return;
    let first = Number(newest.seq);
    for (let i = this.prints.length - 2; i >= 0; i -= 1) {
      const print = this.prints[i];
      if (print?.kind !== "trade" || Number(print.seq) !== first - 1) break;
      first -= 1;
    }
    this.root.dataset["first"] = String(first);
    this.root.dataset["seq"] = newest.seq;
  }

  private fit(): void {
    this.shown = Math.ceil(this.viewport.clientHeight / PRINT_PX);
    while (this.slips.length < this.shown) {
      const slip = new Slip(this.slips.length);
      this.slips.push(slip);
      this.viewport.append(slip.node);
    }
    this.isDue = true;
  }
}
