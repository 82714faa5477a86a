/** What a person has set up, kept in this browser. A word in the address (`?pace=every`) goes before it, and is not kept. */
import type { Interval, Pace, Scope, SortKey } from "./engine/protocol.ts";

const KEY = "tickcast.dashboard.1";

export type Theme = "auto" | "light" | "dark";

export interface Settings {
  theme: Theme;
  focus: string | null;
  interval: Interval;
  pins: string[];
  sort: SortKey;
  descending: boolean;
  pace: Pace;
  scope: Scope;
  /** Sizes of the grid's parts, px; absent where nobody has moved anything. */
  sizes: Partial<Record<"list" | "side" | "low", number>>;
  hidden: string[];
  /** The panel that a narrow screen shows. */
  shown: string;
}

const FIRST: Settings = {
  theme: "auto", focus: null, interval: "1m", pins: [], sort: "symbol", descending: false, pace: 10, scope: "visible", sizes: {},
  hidden: [], shown: "list",
};

const PACES: readonly Pace[] = ["every", 1, 4, 10, 20];

/** Reads what is kept. What an older or a broken page has left there is as if it were not there. */
export function load(): Settings {
  let kept: Partial<Settings> = {};
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (typeof value === "object" && value !== null) kept = value;
  } catch {
    // Storage is switched off, or holds what we did not write.
  }
  const settings: Settings = { ...structuredClone(FIRST), ...kept };
  for (const key of Object.keys(FIRST) as (keyof Settings)[]) {
    const isList = Array.isArray(FIRST[key]);
    const isSame = key === "focus" || key === "pace" || (typeof settings[key] === typeof FIRST[key] && Array.isArray(settings[key]) === isList);
    if (!isSame) Object.assign(settings, { [key]: FIRST[key] });
  }
  const asked = new URLSearchParams(location.search);
  const pace = PACES.find((one) => String(one) === asked.get("pace"));
  if (pace !== undefined) settings.pace = pace;
  if (!PACES.includes(settings.pace)) settings.pace = FIRST.pace;
  const scope = asked.get("scope");
  if (scope === "all" || scope === "visible") settings.scope = scope;
  const focus = asked.get("symbol");
  if (focus) settings.focus = focus.toUpperCase();
  const theme = asked.get("theme");
  if (theme === "light" || theme === "dark") settings.theme = theme;
  return settings;
}

const TOKEN_KEY = "tickcast.dashboard.token";

/** The token that was given in this tab; it goes with it. */
export function keptToken(): string | null {
  try {
    return sessionStorage.getItem(TOKEN_KEY);
  } catch {
    return null;
  }
}

/** Keeps a token, or with null forgets it. Says whether it could. */
export function keepToken(token: string | null): boolean {
  try {
    if (token === null) sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, token);
    return true;
  } catch {
    return false;
  }
}

export function save(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Full or switched off: the page works, and forgets.
  }
}
