/** The style sheet's colours for what is drawn on canvases, read again when the theme changes. */

export type Colour = "panel" | "raised" | "line" | "text" | "quiet" | "accent" | "up" | "down" | "up-wash" | "down-wash" | "warn";

const known = new Map<Colour, string>();
const listeners: (() => void)[] = [];

/** A colour as a canvas takes it. */
export function colour(name: Colour): string {
  let value = known.get(name);
  if (value === undefined) {
    // Only a used value has `light-dark()` resolved.
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    value = getComputedStyle(probe).color;
    probe.remove();
    known.set(name, value);
  }
  return value;
}

export function onColours(listener: () => void): void {
  listeners.push(listener);
}

/** Says that the style sheet's colours are others now. */
export function coloursChanged(): void {
  known.clear();
  for (const listener of listeners) listener();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", coloursChanged);
