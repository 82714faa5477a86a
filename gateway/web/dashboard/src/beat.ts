/**
 * The beat: once for each frame of the screen what the engine has sent is painted, and the next is asked for.
 *
 * While one is under way none is asked for, so a page that is slow asks less, and one that is hidden not at all.
 */
import type { Frame } from "./engine/protocol.ts";

/** A pause that long was no busy moment: the page did not run. */
const ASLEEP_MS = 3000;
/** For how long that is said. */
const SAID_MS = 4000;

export interface BeatActions {
  ask(): void;
  paint(frame: Frame, nowMs: number): void;
}

export class Beat {
  /** Frames of the screen in the last second. */
  framesPerS = 0;
  /** How long the page did not run, if that is only just over. */
  asleepS = 0;
  private frame: Frame | null = null;
  private isAsked = false;
  private lastMs = performance.now();
  private lastWallMs = Date.now();
  private wokeMs = 0;
  private counted = 0;
  private countedSinceMs = performance.now();

  constructor(private readonly actions: BeatActions) {
    this.ask();
    requestAnimationFrame((nowMs) => this.turn(nowMs));
  }

  take(frame: Frame): void {
    this.isAsked = false;
    this.frame = frame;
  }

  private ask(): void {
    this.isAsked = true;
    this.actions.ask();
  }

  private turn(nowMs: number): void {
    requestAnimationFrame((next) => this.turn(next));
    this.watchSleep(nowMs);
    this.counted += 1;
    const elapsedMs = nowMs - this.countedSinceMs;
    if (elapsedMs >= 1000) {
      this.framesPerS = Math.round((this.counted * 1000) / elapsedMs);
      [this.counted, this.countedSinceMs] = [0, nowMs];
    }
    const { frame } = this;
    this.frame = null;
    if (frame) this.actions.paint(frame, nowMs);
    if (!this.isAsked) this.ask();
  }

  /** The clock on the wall goes on while a machine sleeps; the page's own need not. */
  private watchSleep(nowMs: number): void {
    const wallMs = Date.now();
    const pausedMs = Math.max(nowMs - this.lastMs, wallMs - this.lastWallMs);
    if (pausedMs > ASLEEP_MS) {
      this.asleepS = Math.round(pausedMs / 1000);
      this.wokeMs = nowMs;
    } else if (this.asleepS > 0 && nowMs - this.wokeMs > SAID_MS) this.asleepS = 0;
    [this.lastMs, this.lastWallMs] = [nowMs, wallMs];
  }
}
