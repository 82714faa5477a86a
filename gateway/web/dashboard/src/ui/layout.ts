/** Where panels stand: dividers that are dragged or moved by keys, panels that are hidden, and the tabs of narrow screens. */
import type { Settings } from "../settings.ts";
import { element } from "./element.ts";

type Part = "list" | "side" | "low";

/** Bounds of what a divider gives its part, px. */
const BOUNDS: Readonly<Record<Part, readonly [number, number, number]>> = {
  list: [220, 380, 1100],
  side: [220, 300, 700],
  low: [120, 236, 700],
};
const STEP_PX = 24;

export const PANELS: readonly (readonly [name: string, title: string])[] = [
  ["list", "Watch"], ["chart", "Chart"], ["book", "Book"], ["tape", "Trades"], ["depth", "Depth"], ["connection", "Link"],
  ["gateway", "Gateway"],
];

export class Layout {
  readonly grid: HTMLElement;
  readonly tabs: HTMLElement;
  private readonly buttons = new Map<string, HTMLButtonElement>();
  private readonly side: HTMLElement;
  private readonly low: HTMLElement;

  constructor(
    private readonly settings: Settings,
    private readonly panels: ReadonlyMap<string, HTMLElement>,
    private readonly changed: () => void,
  ) {
    const all = (...names: string[]) => names.map((name) => panels.get(name)).filter((node) => node !== undefined);
    this.side = element("div", { class: "side" }, ...all("book", "tape"));
    this.low = element("div", { class: "low" }, ...all("depth", "connection", "gateway"));
    this.grid = element("main", { class: "grid" }, ...all("list"), this.divider("list", "v1", "Width of the watch list"), ...all("chart"),
      this.divider("low", "h1", "Height of the lower panels"), this.low, this.divider("side", "v2", "Width of book and trades"), this.side);
    this.tabs = element("nav", { class: "tabs", "aria-label": "Panels" });
    for (const [name, title] of PANELS) {
      const button = element("button", { "data-panel": name, onclick: () => this.show(name) }, title);
      this.buttons.set(name, button);
      this.tabs.append(button);
    }
    this.apply();
  }

  /** Brings a panel to the front where only one is seen. */
  show(name: string): void {
    this.settings.shown = name;
    this.apply();
    this.changed();
  }

  toggle(name: string): void {
    const { hidden } = this.settings;
    this.settings.hidden = hidden.includes(name) ? hidden.filter((other) => other !== name) : [...hidden, name];
    this.apply();
    this.changed();
  }

  reset(): void {
    Object.assign(this.settings, { sizes: {}, hidden: [] });
    this.apply();
    this.changed();
  }

  /** Whether a panel can be seen now. */
  isSeen(name: string): boolean {
    const node = this.panels.get(name);
    return node !== undefined && node.offsetParent !== null && getComputedStyle(node).visibility === "visible";
  }

  private apply(): void {
    // Where the list stands beside the others, another one is in front.
    const front = this.settings.shown;
    for (const [name, node] of this.panels) {
      node.hidden = this.settings.hidden.includes(name);
      node.classList.toggle("is-shown", name === front || (front === "list" && name === "chart"));
      const button = this.buttons.get(name);
      button?.setAttribute("aria-pressed", String(name === front));
    }
    this.grid.classList.toggle("shows-list", front === "list");
    const isEmpty = (names: string[]) => names.every((name) => this.settings.hidden.includes(name));
    this.side.hidden = isEmpty(["book", "tape"]);
    this.low.hidden = isEmpty(["depth", "connection", "gateway"]);
    for (const part of Object.keys(BOUNDS) as Part[]) {
      const isGone = (part === "side" && this.side.hidden) || (part === "low" && this.low.hidden) ||
        (part === "list" && this.settings.hidden.includes("list"));
      const size = isGone ? 0 : this.settings.sizes[part];
      if (size === undefined) this.grid.style.removeProperty(`--${part}`);
      else this.grid.style.setProperty(`--${part}`, `${size}px`);
    }
  }

  private size(part: Part): number {
    return this.settings.sizes[part] ?? BOUNDS[part][1];
  }

  private resize(part: Part, px: number): void {
    const [least, , most] = BOUNDS[part];
    this.settings.sizes[part] = Math.round(Math.min(Math.max(px, least), most));
    this.apply();
  }

  private divider(part: Part, area: string, label: string): HTMLElement {
    const isVertical = part !== "low";
    // The list grows to the right, the others against the pointer.
    const sign = part === "list" ? 1 : -1;
    const [least, , most] = BOUNDS[part];
    const node = element("div", {
      class: `divider ${area}`, role: "separator", tabindex: "0", "aria-label": label,
      "aria-orientation": isVertical ? "vertical" : "horizontal", "aria-valuemin": String(least), "aria-valuemax": String(most),
      "aria-valuenow": String(this.size(part)),
    });
    const tell = () => node.setAttribute("aria-valuenow", String(this.size(part)));
    node.addEventListener("pointerdown", (down) => {
      node.setPointerCapture(down.pointerId);
      const [from, size] = [isVertical ? down.clientX : down.clientY, this.size(part)];
      const move = (event: PointerEvent) => this.resize(part, size + sign * ((isVertical ? event.clientX : event.clientY) - from));
      const end = () => {
        node.removeEventListener("pointermove", move);
        tell();
        this.changed();
      };
      node.addEventListener("pointermove", move);
      node.addEventListener("pointerup", end, { once: true });
      node.addEventListener("pointercancel", end, { once: true });
    });
    node.addEventListener("keydown", (event) => {
      const forward = isVertical ? "ArrowRight" : "ArrowDown";
      const back = isVertical ? "ArrowLeft" : "ArrowUp";
      if (event.key !== forward && event.key !== back) return;
      event.preventDefault();
      event.stopPropagation();
      this.resize(part, this.size(part) + sign * (event.key === forward ? STEP_PX : -STEP_PX));
      tell();
      this.changed();
    });
    return node;
  }
}
