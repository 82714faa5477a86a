/** Arithmetic on mantissas and decimals that stays exact, on its way to the eye. */
import { formatDecimal, type Integer } from "@tickcast/client";
import type { Move } from "./protocol.ts";

/** Numbers while they are exact, else integers of any size: as the client gives them. */
export function sum(a: Integer, b: Integer): Integer {
  if (typeof a === "number" && typeof b === "number") {
    const total = a + b;
    if (Number.isSafeInteger(total)) return total;
  }
  return BigInt(a) + BigInt(b);
}

export function difference(a: Integer, b: Integer): Integer {
  return sum(a, typeof b === "number" ? -b : -b);
}

export function compare(a: Integer, b: Integer): Move {
  return a > b ? 1 : a < b ? -1 : 0;
}

/** `(now - then) / then` in per cent with two decimals and a sign; then is zero: nothing. */
export function percent(now: Integer, then: Integer): string {
  if (then == 0) return "";
  const [a, b] = [BigInt(now), BigInt(then)];
  const scaled = (a - b) * 20_000n;
  // Rounded half away from zero.
  const hundredths = (scaled + (scaled < 0n ? -b : b)) / (2n * b);
  const text = formatDecimal(hundredths < 0n ? -hundredths : hundredths, -2);
  return `${hundredths < 0n ? "−" : "+"}${text}%`;
}

/** The spread in basis points of the middle, with one decimal; a side is empty: nothing. */
export function basisPoints(bid: Integer, ask: Integer): string {
  if (bid <= 0 || ask <= 0) return "";
  const [low, high] = [BigInt(bid), BigInt(ask)];
  const tenths = ((high - low) * 200_000n) / (high + low);
  return `${formatDecimal(tenths, -1)}`;
}

const UNITS = ["", "K", "M", "B", "T", "Q"];

/** A long decimal cut, not rounded, to three digits that count, and a unit: `25123.45678` is `25.1K`. */
export function short(decimal: string): string {
  const [whole = "0", fraction = ""] = decimal.split(".");
  const group = Math.min(Math.floor((whole.length - 1) / 3), UNITS.length - 1);
  if (group === 0) {
    const zeros = whole === "0" ? Math.max(0, fraction.search(/[1-9]/)) : 1 - whole.length;
    return fraction === "" ? whole : `${whole}.${fraction.slice(0, Math.max(1, zeros + 3))}`;
  }
  const lead = whole.slice(0, whole.length - 3 * group);
  const rest = whole.slice(lead.length, lead.length + Math.max(0, 3 - lead.length));
  return `${lead}${rest === "" ? "" : `.${rest}`}${UNITS[group] ?? ""}`;
}
