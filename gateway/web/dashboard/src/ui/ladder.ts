/** The depth ladder: sellers above, buyers below, as many levels as fit, with the running sum drawn behind. */
import type { Book, Level, Move } from "../engine/protocol.ts";
import { element, Mark, moveClass, panel, Text } from "./element.ts";

const LEVEL_PX = 20;
/** As many levels of a side as the engine sends. */
const LEVELS_MAX = 50;

class Rung {
  readonly node: HTMLElement;
  private readonly texts = [new Text(), new Text(), new Text()];
  /** How much of its width is drawn behind it: at first nothing. */
  private share = 0;

  constructor() {
    const [price, size, sum] = this.texts.map((text, at) =>
      element("span", { class: ["price", "", "quiet"][at] ?? "" }, text.node));
    this.node = element("div", { class: "level" }, price ?? "", size ?? "", sum ?? "");
  }

  write(level: Level | undefined, deepest: number): void {
    this.texts[0]?.write(level?.price ?? "");
    this.texts[1]?.write(level?.size ?? "");
    this.texts[2]?.write(level?.sum ?? "");
    // In steps that can be seen: each other one is paint for nothing.
    const share = level ? Math.round((level.depth / deepest) * 200) / 200 : 0;
    if (share === this.share) return;
    this.share = share;
    // A background and no element of its own: that would be one more to lay out and to clip, for each level.
    this.node.style.backgroundSize = `${share * 100}% 18px`;
  }
}

class LadderSide {
  readonly node: HTMLElement;
  private readonly rungs: Rung[] = [];
  private shown = 0;

  constructor(private readonly name: "asks" | "bids") {
    this.node = element("div", { class: name });
    new ResizeObserver(() => this.fit()).observe(this.node);
  }

  get room(): number {
    return this.shown;
  }

  write(levels: readonly Level[], deepest: number): void {
    for (let i = 0; i < this.shown; i += 1) this.rungs[i]?.write(levels[i], deepest);
  }

  private fit(): void {
    this.shown = Math.min(LEVELS_MAX, Math.max(1, Math.floor(this.node.clientHeight / LEVEL_PX)));
    while (this.rungs.length < this.shown) {
      const rung = new Rung();
      // The best levels meet in the middle.
      const offset = `${this.rungs.length * LEVEL_PX}px`;
      if (this.name === "asks") rung.node.style.bottom = offset;
      else rung.node.style.top = offset;
      this.rungs.push(rung);
      this.node.append(rung.node);
    }
    this.rungs.forEach((rung, at) => (rung.node.hidden = at >= this.shown));
  }
}

export class Ladder {
  readonly root: HTMLElement;
  readonly subject: Text;
  private readonly asks = new LadderSide("asks");
  private readonly bids = new LadderSide("bids");
  private readonly middle = new Text("–");
  private readonly middleNode = element("b", {}, this.middle.node);
  private readonly middleMark = new Mark(this.middleNode);
  private readonly spread = new Text("");
  /** Where the price went last: never said by colour alone. */
  private arrow = "";
  private readonly empty = element("p", { class: "note" }, "No book yet.");

  constructor() {
    const columns = element("div", { class: "columns" }, element("span", {}, "Price"), element("span", {}, "Size"),
      element("span", {}, "Sum"));
    const middle = element("div", { class: "middle" }, this.middleNode,
      element("span", { class: "quiet" }, "Spread ", this.spread.node));
    const frame = panel("book", "Book", columns, this.asks.node, middle, this.bids.node);
    frame.root.classList.add("live");
    frame.extra.append(this.empty);
    this.empty.className = "quiet";
    this.root = frame.root;
    this.subject = frame.subject;
  }

  /** Another instrument, or the same anew: what is shown is not its book. */
  clear(): void {
    this.empty.hidden = false;
    this.middle.write("–");
    this.arrow = "";
    this.spread.write("");
    this.asks.write([], 1);
    this.bids.write([], 1);
    delete this.root.dataset["seq"];
  }

  paint(book: Book): void {
    if (!this.empty.hidden) this.empty.hidden = true;
    const depth = (levels: readonly Level[], room: number) => levels[Math.min(room, levels.length) - 1]?.depth ?? 0;
    const deepest = Math.max(depth(book.bids, this.bids.room), depth(book.asks, this.asks.room), Number.MIN_VALUE);
    this.asks.write(book.asks, deepest);
    this.bids.write(book.bids, deepest);
    this.writeMiddle(book.middle, book.middleMove);
    this.spread.write(book.spread);
    this.root.dataset["seq"] = book.seq;
  }

  private writeMiddle(text: string, move: Move): void {
    if (move !== 0) {
      this.arrow = move > 0 ? " ▲" : " ▼";
      this.middleMark.write(moveClass(move));
    }
    this.middle.write(text + this.arrow);
  }
}
