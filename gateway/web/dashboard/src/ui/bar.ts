/** The bar at the top: whether all is well, the few figures one glances at, and the page's own buttons. */
import type { Figures, Link } from "../engine/protocol.ts";
import { element, Text } from "./element.ts";
import { milliseconds, rate } from "./figures.ts";

export interface BarActions {
  theme(): void;
  settings(): void;
  help(): void;
}

export class Bar {
  readonly root: HTMLElement;
  /** Said across the whole width, when what is shown is not what is. */
  readonly alarm = element("p", { class: "stale-note", role: "alert", hidden: true });
  private readonly link: HTMLElement;
  private readonly state = new Text("connecting");
  private readonly facts = [["ticks/s", new Text("–")], ["age", new Text("–")], ["lost", new Text("0")], ["fps", new Text("–")]] as const;

  constructor(actions: BarActions) {
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    mark.setAttribute("viewBox", "0 0 16 16");
    mark.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", "M1 11l4-4 3 3 7-7");
    mark.append(path);
    this.link = element("p", { class: "link", role: "status", "data-state": "connecting" }, element("span", {}, this.state.node));
    const facts = element("dl", { class: "facts" });
    for (const [title, text] of this.facts) facts.append(element("div", {}, element("dt", {}, title), element("dd", {}, text.node)));
    const tool = (label: string, glyph: string, act: () => void) =>
      element("button", { "aria-label": label, title: label, onclick: act }, glyph);
    this.root = element("header", { class: "bar" }, element("h1", {}, mark, element("span", {}, "Tickcast")), this.link, facts,
      element("div", { class: "tools" }, tool("Light or dark (t)", "◐", actions.theme), tool("Settings (,)", "⚙", actions.settings),
        tool("Help (?)", "?", actions.help)));
  }

  /** `asleepS`: how long the page itself did not run, if it has only just woken. */
  update(link: Link, asleepS: number): void {
    if (this.link.dataset["state"] !== link.state) this.link.dataset["state"] = link.state;
    this.state.write(link.text);
    const text = asleepS > 0 ? `This page was asleep for ${asleepS} s and is catching up.` : link.isStale ? `Not live: ${link.text}. What is shown may be old.` : "";
    if (this.alarm.textContent !== text) {
      this.alarm.textContent = text;
      this.alarm.hidden = text === "";
      document.body.classList.toggle("is-stale", text !== "");
    }
  }

  /** Says something of the page itself, until something else is to be said. */
  say(text: string): void {
    this.alarm.textContent = text;
    this.alarm.hidden = false;
  }

  figures(figures: Figures, framesPerS: number): void {
    const [ticks, age, lost, fps] = this.facts;
    ticks[1].write(rate(figures.eventsPerS));
    age[1].write(milliseconds(figures.latencyP50Ms));
    lost[1].write(figures.lost);
    fps[1].write(String(framesPerS));
  }
}
