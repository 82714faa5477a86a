/**
 * The watch list: every instrument, of which only those on the screen have a row and a subscription.
 *
 * Rows are a pool that moves with the scrolling; each knows what it shows and writes only what differs.
 */
import type { ListWish, Move, Row, SortKey } from "../engine/protocol.ts";
import { element, Mark, moveClass, panel, Text } from "./element.ts";
import { count } from "./figures.ts";

/** Rows kept beyond the edges, so that scrolling by a few finds them filled. */
const OVERSCAN = 3;
/** How long a changed value stays marked. */
const FLASH_MS = 300;

type Column = {
  readonly key: keyof Row;
  readonly title: string;
  readonly wide: "" | "wide1" | "wide2" | "wide3";
  readonly sort?: SortKey;
  readonly move?: "bidMove" | "askMove" | "lastMove" | "changeMove";
  readonly flashes?: boolean;
};

const COLUMNS: readonly Column[] = [
  { key: "bidSize", title: "Bid size", wide: "wide2" },
  { key: "bid", title: "Bid", wide: "", move: "bidMove", flashes: true },
  { key: "ask", title: "Ask", wide: "", move: "askMove", flashes: true },
  { key: "askSize", title: "Ask size", wide: "wide2" },
  { key: "last", title: "Last", wide: "wide1", sort: "last", move: "lastMove", flashes: true },
  { key: "spread", title: "Spread", wide: "wide3" },
  { key: "volume", title: "Volume", wide: "wide3", sort: "volume" },
  { key: "change", title: "24 h", wide: "", sort: "change", move: "changeMove" },
];

class Cell {
  readonly node: HTMLElement;
  private readonly text = new Text();
  private readonly mark: Mark;
  private readonly plain: string;
  flashUntil = 0;

  constructor(readonly column: Column) {
    this.plain = `${column.wide} ${column.key.endsWith("Size") ? "size" : ""}`.trim();
    this.node = element("div", { role: "gridcell", class: this.plain }, this.text.node);
    this.mark = new Mark(this.node);
  }

  /** Shows a value; whether it flashes now. */
  write(value: string, move: Move, nowMs: number): boolean {
    const isFirst = this.text.content === "";
    if (!this.text.write(value)) return false;
    const flashes = this.column.flashes === true && !isFirst && move !== 0;
    const flash = flashes ? (move > 0 ? " flash-up" : " flash-down") : "";
    this.mark.write(`${this.plain} ${moveClass(move)}${flash}`.trim());
    if (flashes) this.flashUntil = nowMs + FLASH_MS;
    return flashes;
  }

  settle(move: Move): void {
    this.flashUntil = 0;
    this.mark.write(`${this.plain} ${moveClass(move)}`.trim());
  }

  clear(): void {
    this.flashUntil = 0;
    this.text.write("");
    this.mark.write(this.plain);
  }
}

class Line {
  readonly node: HTMLElement;
  readonly cells = COLUMNS.map((column) => new Cell(column));
  symbol = "";
  index = -1;
  moves = new Map<Cell, Move>();
  private readonly name = new Text();
  private readonly nameCell: HTMLElement;
  private readonly nameMark: Mark;
  private readonly mark: Mark;

  constructor() {
    this.nameCell = element("div", { role: "rowheader", class: "symbol" }, this.name.node);
    this.nameMark = new Mark(this.nameCell);
    this.node = element("div", { class: "row", role: "row" }, this.nameCell, ...this.cells.map((cell) => cell.node));
    this.mark = new Mark(this.node);
  }

  /** Stands for another instrument, or at another place. */
  take(symbol: string, index: number, rowPx: number, selected: boolean, pinned: boolean): boolean {
    if (index !== this.index) {
      this.index = index;
      this.node.style.top = `${index * rowPx}px`;
      this.node.setAttribute("aria-rowindex", String(index + 2));
    }
    this.node.setAttribute("aria-selected", String(selected));
    this.nameMark.write(pinned ? "symbol pinned" : "symbol");
    if (symbol === this.symbol) return false;
    this.symbol = symbol;
    this.name.write(symbol);
    this.mark.write("row");
    this.moves.clear();
    for (const cell of this.cells) cell.clear();
    return true;
  }

  write(row: Row, nowMs: number, flashing: Set<Cell>): void {
    this.mark.write(row.status === "trading" || row.status === "" ? "row" : "row is-halted");
    for (const cell of this.cells) {
      const move = cell.column.move ? row[cell.column.move] : 0;
      if (move !== 0) this.moves.set(cell, move);
      if (cell.write(row[cell.column.key] as string, move, nowMs)) flashing.add(cell);
    }
  }
}

export interface WatchListActions {
  focus(symbol: string): void;
  list(wish: ListWish): void;
  rows(symbols: readonly string[]): void;
  pins(pins: readonly string[]): void;
  sorted(sort: SortKey, descending: boolean): void;
}

export interface WatchListState {
  readonly pins: readonly string[];
  readonly sort: SortKey;
  readonly descending: boolean;
  readonly query: string;
}

export class WatchList {
  readonly root: HTMLElement;
  private readonly search: HTMLInputElement;
  private readonly grid: HTMLElement;
  private readonly viewport: HTMLElement;
  private readonly reach = element("div", { class: "reach" });
  private readonly empty = element("p", { class: "note", hidden: true }, "No symbol matches.");
  private readonly total: Text;
  private readonly heads = new Map<SortKey, HTMLElement>();
  private readonly pool: Line[] = [];
  private readonly bySymbol = new Map<string, Line>();
  private readonly flashing = new Set<Cell>();
  private readonly lineOf = new Map<Cell, Line>();
  private readonly pins: Set<string>;
  private symbols: readonly string[] = [];
  private focused: string | null = null;
  private sort: SortKey;
  private descending: boolean;
  private rowPx = 26;
  private reported = "";

  constructor(
    private readonly actions: WatchListActions,
    first: WatchListState,
  ) {
    this.pins = new Set(first.pins);
    [this.sort, this.descending] = [first.sort, first.descending];
    this.search = element("input", {
      type: "search", class: "search", placeholder: "Search  /", "aria-label": "Search symbols", autocomplete: "off",
      spellcheck: "false", oninput: () => this.wish(), onkeydown: (event) => this.searchKey(event as KeyboardEvent),
    });
    this.search.value = first.query;
    const head = element("div", { class: "row head", role: "row", "aria-rowindex": "1" },
      this.headCell("Symbol", "", "symbol"), ...COLUMNS.map((column) => this.headCell(column.title, column.wide, column.sort)));
    this.viewport = element("div", { class: "rows", role: "rowgroup", tabindex: "0" }, this.reach);
    this.viewport.addEventListener("scroll", () => this.place(), { passive: true });
    this.viewport.addEventListener("click", (event) => this.click(event));
    this.viewport.addEventListener("dblclick", () => this.focused && this.togglePin(this.focused));
    this.grid = element("div", {
      role: "grid", "aria-label": "Instruments", "aria-rowcount": "1",
      class: "watch", onkeydown: (event) => this.key(event as KeyboardEvent),
    }, head, this.viewport);
    const frame = panel("list", "Watch list", this.grid, this.empty);
    this.total = frame.subject;
    frame.extra.append(this.search);
    this.root = frame.root;
    new ResizeObserver(() => this.measure()).observe(this.viewport);
    this.mark();
  }

  /** The symbols to show changed, or their order. */
  order(symbols: readonly string[], total: number): void {
    this.symbols = symbols;
    this.total.write(symbols.length === total ? count(total) : `${count(symbols.length)} of ${count(total)}`);
    this.empty.hidden = symbols.length > 0 || total === 0;
    this.grid.setAttribute("aria-rowcount", String(symbols.length + 1));
    this.place();
  }

  focus(symbol: string | null): void {
    this.focused = symbol;
    this.place();
  }

  /** Brings the focused row onto the screen. */
  reveal(): void {
    const index = this.focused === null ? -1 : this.symbols.indexOf(this.focused);
    if (index < 0) return;
    const [top, bottom] = [index * this.rowPx, (index + 1) * this.rowPx];
    if (top < this.viewport.scrollTop) this.viewport.scrollTop = top;
    else if (bottom > this.viewport.scrollTop + this.viewport.clientHeight) {
      this.viewport.scrollTop = bottom - this.viewport.clientHeight;
    }
  }

  /** Shows what has changed, and takes back marks whose time is over. */
  paint(rows: readonly Row[], nowMs: number): void {
    for (const row of rows) {
      const line = this.bySymbol.get(row.symbol);
      if (!line) continue;
      line.write(row, nowMs, this.flashing);
    }
    for (const cell of this.flashing) {
      if (cell.flashUntil > nowMs) continue;
      const line = this.lineOf.get(cell);
      cell.settle(line?.moves.get(cell) ?? 0);
      this.flashing.delete(cell);
    }
  }

  focusSearch(): void {
    this.search.focus();
    this.search.select();
  }

  /** The symbol so many rows from the focused one. */
  step(by: number): void {
    if (this.symbols.length === 0) return;
    const at = this.focused === null ? -1 : this.symbols.indexOf(this.focused);
    const next = Math.min(Math.max(at + by, 0), this.symbols.length - 1);
    const symbol = this.symbols[next];
    if (symbol === undefined) return;
    this.actions.focus(symbol);
    this.reveal();
  }

  togglePin(symbol: string): void {
    if (!this.pins.delete(symbol)) this.pins.add(symbol);
    this.actions.pins([...this.pins]);
    this.wish();
    this.place();
  }

  /** Says again what the list shows. */
  wish(): void {
    this.actions.list({
      query: this.search.value.trim().toUpperCase(), sort: this.sort, descending: this.descending, pins: [...this.pins],
    });
  }

  private headCell(title: string, wide: string, sort?: SortKey): HTMLElement {
    if (!sort) return element("div", { role: "columnheader", class: wide }, title);
    const cell = element("div", { role: "columnheader", class: wide },
      element("button", { tabindex: "-1", title: `Sort by ${title.toLowerCase()}`, onclick: () => this.sortBy(sort) }, title));
    this.heads.set(sort, cell);
    return cell;
  }

  private sortBy(sort: SortKey): void {
    // Numbers begin with the biggest; symbols as the gateway lists them.
    this.descending = sort === this.sort ? !this.descending : sort !== "symbol";
    this.sort = sort;
    this.mark();
    this.actions.sorted(this.sort, this.descending);
    this.viewport.scrollTop = 0;
    this.wish();
  }

  private mark(): void {
    for (const [sort, cell] of this.heads) {
      cell.setAttribute("aria-sort", sort === this.sort ? (this.descending ? "descending" : "ascending") : "none");
    }
  }

  private measure(): void {
    const row = Number.parseFloat(getComputedStyle(this.viewport).getPropertyValue("--row")) || 26;
    this.rowPx = row;
    this.place();
  }

  /** Gives the rows on the screen to lines of the pool. */
  private place(): void {
    const height = this.viewport.clientHeight;
    if (height === 0) return;
    this.reach.style.height = `${this.symbols.length * this.rowPx}px`;
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / this.rowPx) - OVERSCAN);
    const end = Math.min(this.symbols.length, Math.ceil((this.viewport.scrollTop + height) / this.rowPx) + OVERSCAN);
    const wanted = this.symbols.slice(first, end);
    const kept = new Set(wanted);
    const free: Line[] = [];
    for (const line of this.pool) if (!kept.has(line.symbol)) free.push(line);
    wanted.forEach((symbol, offset) => {
      const line = this.bySymbol.get(symbol) ?? free.pop() ?? this.newLine();
      if (line.symbol !== symbol) this.bySymbol.delete(line.symbol);
      this.bySymbol.set(symbol, line);
      line.take(symbol, first + offset, this.rowPx, symbol === this.focused, this.pins.has(symbol));
      line.node.hidden = false;
    });
    for (const line of free) {
      this.bySymbol.delete(line.symbol);
      line.take("", -1, this.rowPx, false, false);
      line.node.hidden = true;
    }
    const key = wanted.join();
    if (key !== this.reported) {
      this.reported = key;
      this.actions.rows(wanted);
    }
  }

  private newLine(): Line {
    const line = new Line();
    for (const cell of line.cells) this.lineOf.set(cell, line);
    this.pool.push(line);
    this.viewport.append(line.node);
    return line;
  }

  private click(event: Event): void {
    const node = (event.target as Element).closest(".row");
    const line = this.pool.find((other) => other.node === node);
    if (line && line.symbol !== "") this.actions.focus(line.symbol);
  }

  private key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.viewport.clientHeight / this.rowPx) - 1);
    const steps: Record<string, number> = {
      ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.symbols.length, End: this.symbols.length,
    };
    const by = steps[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.step(by);
  }

  private searchKey(event: KeyboardEvent): void {
    if (event.key === "Enter" && this.symbols[0] !== undefined) {
      this.actions.focus(this.symbols[0]);
      this.viewport.focus();
    } else if (event.key === "Escape") {
      this.search.value = "";
      this.wish();
      this.viewport.focus();
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      this.viewport.focus();
      this.step(1);
    }
  }
}
