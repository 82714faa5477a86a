/** Elements, made and written: nothing here knows what they mean. */

type Attributes = Readonly<Record<string, string | boolean | EventListener>>;

/** Makes an element. `on…` attributes are listeners, `true` is an attribute without a value, `false` none. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/**
 * A text that changes often. It remembers what it shows: asking the document would cost more than most
 * frames' changes, and writing the same again would lay it out again.
 */
export class Text {
  readonly node: Text["text"];
  private readonly text: globalThis.Text = document.createTextNode("");
  private shown = "";

  constructor(first = "") {
    this.node = this.text;
    this.write(first);
  }

  /** Shows this; whether that is a change. */
  write(text: string): boolean {
    if (text === this.shown) return false;
    this.shown = text;
    this.text.data = text;
    return true;
  }

  get content(): string {
    return this.shown;
  }
}

/** An attribute's class that changes often, remembered likewise. */
export class Mark {
  private shown: string;

  constructor(private readonly element: Element) {
    this.shown = element.className;
  }

  write(className: string): void {
    if (className === this.shown) return;
    this.shown = className;
    this.element.className = className;
  }
}

/** A frame with a title around something. */
export interface Panel {
  readonly root: HTMLElement;
  readonly body: HTMLElement;
  readonly extra: HTMLElement;
  /** Of what it is, beside the title. */
  readonly subject: Text;
}

export function panel(name: string, title: string, ...content: (Node | string)[]): Panel {
  const id = `title-${name}`;
  const extra = element("div", { class: "extra" });
  const body = element("div", { class: "body" }, ...content);
  const subject = new Text();
  const header = element("header", {}, element("h2", { id }, title, " ", element("span", { class: "quiet" }, subject.node)), extra);
  const root = element("section", { class: `panel ${name}`, "aria-labelledby": id, "data-panel": name }, header, body);
  return { root, body, extra, subject };
}

/** The class of a move: colour goes with an arrow or a sign wherever it says something alone. */
export function moveClass(move: number): string {
  return move > 0 ? "up" : move < 0 ? "down" : "";
}

/** A canvas that has the device's pixels. Draws when it is told to and when its size changes. */
export class Sketch {
  readonly canvas = element("canvas", { "aria-hidden": "true" });
  private width = 0;
  private height = 0;

  constructor(private readonly draw: (context: CanvasRenderingContext2D, width: number, height: number) => void) {
    new ResizeObserver((entries) => {
      const box = entries[0]?.contentRect;
      if (!box) return;
      [this.width, this.height] = [box.width, box.height];
      this.canvas.width = Math.round(box.width * devicePixelRatio);
      this.canvas.height = Math.round(box.height * devicePixelRatio);
      this.paint();
    }).observe(this.canvas);
  }

  paint(): void {
    const context = this.canvas.getContext("2d");
    if (!context || this.width < 1 || this.height < 1) return;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.draw(context, this.width, this.height);
  }
}
