/** How old events are when they arrive: a histogram of the last ten seconds, in logarithmic buckets. */

/** Lower bounds, ten to a decade from 20 µs to 10 s; the last bucket has all that is older. */
export const BUCKETS_MS: readonly number[] = Array.from({ length: 54 }, (_, at) => {
  const step = at - 7;
  const bound = 10 ** Math.floor(step / 10 - 1) * 10 ** ((((step % 10) + 10) % 10) / 10);
  return Number(bound.toPrecision(3));
});

const SLICES = 10;
const SLICE_MS = 1000;

export class LatencyWindow {
  private readonly slices = Array.from({ length: SLICES }, () => new Uint32Array(BUCKETS_MS.length));
  private slice = this.slices[0] as Uint32Array;
  private at = 0;
  private turnsMs = 0;

  record(ageMs: number): void {
    // The venue's clock may be ahead of ours.
    const age = ageMs < 0.02 ? 0.02 : ageMs;
    let bucket = Math.floor(Math.log10(age) * 10) + 17;
    if (bucket < 0) bucket = 0;
    else if (bucket >= BUCKETS_MS.length) bucket = BUCKETS_MS.length - 1;
    this.slice[bucket] = (this.slice[bucket] ?? 0) + 1;
  }

  /** The counts by bucket; time goes on by being asked. */
  counts(nowMs: number): Uint32Array {
    while (nowMs - this.turnsMs >= SLICE_MS) {
      this.turnsMs = nowMs - this.turnsMs > SLICES * SLICE_MS ? nowMs - SLICES * SLICE_MS : this.turnsMs + SLICE_MS;
      this.at = (this.at + 1) % SLICES;
      this.slice = this.slices[this.at] as Uint32Array;
      this.slice.fill(0);
    }
    const total = new Uint32Array(BUCKETS_MS.length);
    for (const slice of this.slices) slice.forEach((value, at) => (total[at] = (total[at] ?? 0) + value));
    return total;
  }
}

/** The bound below which this share of the counts lies; nothing counted: null. */
export function quantileMs(counts: Uint32Array, share: number): number | null {
  const total = counts.reduce((sum, value) => sum + value, 0);
  if (total === 0) return null;
  let left = total * share;
  for (let at = 0; at < counts.length; at += 1) {
    left -= counts[at] ?? 0;
    if (left <= 0) return BUCKETS_MS[at + 1] ?? BUCKETS_MS[at] ?? null;
  }
  return BUCKETS_MS.at(-1) ?? null;
}
