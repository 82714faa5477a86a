/** Help and settings. */
import type { Pace } from "../engine/protocol.ts";
import type { Settings } from "../settings.ts";
import { element } from "./element.ts";
import { PANELS } from "./layout.ts";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "search; Enter takes the first match, Escape clears"], ["↑ ↓", "previous and next instrument; also k and j"], ["p", "pin the instrument to the top"],
  ["[ ]", "shorter and longer candles"], ["1 … 7", "go to a panel"], ["t", "light, dark, as the system"], [",", "settings"], ["?", "this help"],
];

export function helpDialog(): HTMLDialogElement {
  const list = element("dl");
  for (const [key, what] of KEYS) list.append(element("dt", {}, element("kbd", {}, key)), element("dd", {}, what));
  return dialog("Keys",
    list,
    element("p", {}, "Up is blue with ▲ and hollow candles, down is orange with ▼ and filled ones. Dividers between panels can be dragged, or moved with the arrow keys. The layout is kept in this browser."),
    element("p", {}, "Candles are drawn by Lightweight Charts™ of ", element("a", { href: "https://www.tradingview.com/", rel: "noreferrer" }, "TradingView"),
      ". ", element("a", { href: "/licenses.md" }, "Licences"), " · ", element("a", { href: "/v1/instruments" }, "instruments"), " · ", element("a", { href: "/v1/schema.xml" }, "binary schema")));
}

export interface SettingsActions {
  changed(): void;
  toggle(panel: string): void;
  reset(): void;
  readonly hasToken: boolean;
  forgetToken(): void;
}

export function settingsDialog(settings: Settings, actions: SettingsActions): HTMLDialogElement {
  const choice = <T extends string>(label: string, values: readonly (readonly [T, string])[], now: string, pick: (value: T) => void) => {
    const select = element("select", {}, ...values.map(([value, text]) => element("option", { value, selected: value === now }, text)));
    select.addEventListener("change", () => pick(select.value as T));
    return element("label", {}, label, select);
  };
  const form = element("form", { method: "dialog" },
    choice("Updates", [["1", "1 a second"], ["4", "4 a second"], ["10", "10 a second"], ["20", "20 a second"], ["every", "every tick"]], String(settings.pace), (value) => {
      settings.pace = (value === "every" ? value : Number(value)) as Pace;
      actions.changed();
    }),
    choice("Quotes of", [["visible", "what is on the screen"], ["all", "all instruments"]], settings.scope, (value) => {
      settings.scope = value;
      actions.changed();
    }),
    choice("Theme", [["auto", "as the system"], ["light", "light"], ["dark", "dark"]], settings.theme, (value) => {
      settings.theme = value;
      actions.changed();
    }),
    element("div", { class: "checks", role: "group", "aria-label": "Panels" },
      ...PANELS.filter(([name]) => name !== "chart").map(([name, title]) =>
        element("label", {}, element("input", { type: "checkbox", checked: !settings.hidden.includes(name), onchange: () => actions.toggle(name) }), title))));
  const reset = element("button", { onclick: () => actions.reset() }, "Reset layout");
  const forget = element("button", { hidden: !actions.hasToken, onclick: () => actions.forgetToken() }, "Forget the token");
  return dialog("Settings", form, element("p", {}, "Between two updates the gateway sends only the newest: the connection panel counts what was conflated. Trades always come one by one."),
    element("div", { class: "ends" }, forget, reset));
}

/** Asks for a token. `why` says what became of the one before. */
export function tokenDialog(why: string, take: (token: string) => void): HTMLDialogElement {
  const input = element("input", { type: "password", "aria-label": "Token", autocomplete: "current-password", required: true, spellcheck: "false", autofocus: true });
  const form = element("form", { method: "dialog" }, element("label", {}, "Token", input), element("div", { class: "ends" }, element("button", {}, "Connect")));
  form.addEventListener("submit", () => input.value.trim() !== "" && take(input.value.trim()));
  return dialog("Token", element("p", { role: "alert" }, why), form,
    element("p", {}, "A key or a token, as whoever runs this gateway gives them. It is kept in this tab only, until it is closed."));
}

function dialog(title: string, ...content: Node[]): HTMLDialogElement {
  const made = element("dialog", { "aria-label": title }, element("h2", {}, title), ...content);
  const close = element("button", { onclick: () => made.close() }, "Close");
  const ends = made.querySelector(".ends") ?? made.appendChild(element("div", { class: "ends" }));
  ends.append(close);
  made.addEventListener("close", () => made.remove());
  // A click beside it.
  made.addEventListener("click", (event) => event.target === made && made.close());
  return made;
}
