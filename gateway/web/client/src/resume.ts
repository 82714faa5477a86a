// Resumes of more topics than one command may name: wildcards of many instruments.
//
// What does not fit is subscribed by name before the wildcard, each behind its number, and unsubscribed after it. A gateway has
// a wildcard go on where the name ended, so nothing is lost or comes twice.

import { CHANNELS, isWildcard, splitTopic } from './channel.ts';
import type { Subscribe } from './registry.ts';

/** A command, and those that go before and after it. */
export interface Parts {
  readonly command: Subscribe;
  /** By name, and to be unsubscribed again. */
  readonly byName: readonly Subscribe[];
}

/** Divides a command so that each resumes at most so many topics. `isWanted`: subscribed by name anyway. */
export function divide(command: Subscribe, topicsMax: number, isWanted: (topic: string) => boolean): Parts {
  const { topics, terms, resume } = command;
  if (resume === undefined) return { command, byName: [] };
  const named = new Set(topics);
  const covered = Object.entries(resume.topics).filter(([topic]) => named.has(topic) || named.has(wildcardOf(topic)));
  if (covered.length <= topicsMax) return { command, byName: [] };
  // What the command names must be resumed by it.
  const [own, others] = [covered.filter(([topic]) => named.has(topic)), covered.filter(([topic]) => !named.has(topic) && !isWanted(topic))];
  const room = Math.max(0, topicsMax - own.length);
  const byName: Subscribe[] = [];
  for (let i = room; i < others.length; i += topicsMax) {
    const some = others.slice(i, i + topicsMax);
    byName.push({ topics: some.map(([topic]) => topic), terms, resume: { epoch: resume.epoch, topics: Object.fromEntries(some) } });
  }
  const kept = Object.fromEntries([...own, ...others.slice(0, room)]);
  return { command: { topics, terms, resume: { epoch: resume.epoch, topics: kept } }, byName };
}

/** The wildcard that a topic is of; nothing, of what is none. */
function wildcardOf(topic: string): string {
  const split = isWildcard(topic) ? undefined : splitTopic(topic);
  return split === undefined ? '' : `*.${CHANNELS[split.code]!}`;
}
