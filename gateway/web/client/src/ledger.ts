// The ledger: exact account of the sequence numbers of every topic.
//
// The protocol's rule is that each number after a topic's base is either delivered or counted in exactly one gap. The
// ledger adds them up and counts what breaks the rule, which never happens.

import type { Gap, TickcastEvent } from './event.ts';

/** What became of the numbers of one topic, or of several. */
export interface Account {
  /** Numbers that came, each in an event of its own. */
  delivered: number;
  /** Numbers that a newer or merged event stands for. */
  conflated: number;
  /** Numbers that are gone, as gaps have said. */
  lost: number;
  /** How often the epoch changed, each with an unknown number of missed events. */
  resets: number;
  /** Numbers that neither came nor were announced: the rule is broken. */
  missing: number;
  /** Numbers that came or were announced twice: the rule is broken. */
  repeated: number;
}

interface Topic {
  readonly account: Account;
  /** The last number accounted for; none before the first, and in a new epoch. */
  last: number | undefined;
}

/** The accounts of all topics. Enter every event, in order: `client.on('event', (event) => ledger.enter(event))`. */
export class Ledger {
  readonly #topics = new Map<string, Topic>();
  #epoch = 0n;

  enter(event: TickcastEvent): void {
    switch (event.type) {
      case 'connected':
      case 'heartbeat':
      case 'feed':
        return this.#enterEpoch(event.epoch);
      case 'gap':
        return this.#enterGap(event);
      case 'definition':
      case 'disconnected':
      case 'attemptFailed':
      case 'expiring':
      case 'revoked':
      case 'refused':
      case 'ended':
        return;
    }
    const topic = this.#topic(event.topic);
    // A snapshot in parts is one event, and may say again what is known.
    if (event.type === 'snapshot' && (!event.isFirst || event.seq === topic.last)) return;
    expect(topic, event.seq);
    topic.account.delivered += 1;
    topic.last = event.seq;
  }

  /** The account of one topic. */
  account(topic: string): Readonly<Account> {
    return this.#topics.get(topic)?.account ?? empty();
  }

  /** The sum of all accounts. */
  total(): Account {
    const total = empty();
    for (const { account } of this.#topics.values()) {
      for (const key of Object.keys(total) as (keyof Account)[]) total[key] += account[key];
    }
    return total;
  }

  #topic(name: string): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { account: empty(), last: undefined };
      this.#topics.set(name, topic);
    }
    return topic;
  }

  #enterGap(gap: Gap): void {
    const topic = this.#topic(gap.topic);
    if (gap.reason === 'reset') {
      topic.account.resets += 1;
      topic.last = undefined;
      return;
    }
    expect(topic, gap.firstSeq);
    if (gap.reason === 'conflated') topic.account.conflated += gap.count;
    else topic.account.lost += gap.count;
    topic.last = gap.firstSeq + gap.count - 1;
  }

  /** Numbers begin anew; the sums go on. */
  #enterEpoch(epoch: bigint): void {
    if (epoch === this.#epoch || epoch === 0n) return;
    this.#epoch = epoch;
    for (const topic of this.#topics.values()) topic.last = undefined;
  }
}

/** Whether the protocol's rule held. */
export function isExact(account: Readonly<Account>): boolean {
  return account.missing === 0 && account.repeated === 0;
}

/** The next number accounted for; it should be the one after the last. */
function expect({ account, last }: Topic, seq: number): void {
  if (last === undefined) return;
  if (seq > last) account.missing += seq - last - 1;
  else account.repeated += last - seq + 1;
}

function empty(): Account {
  return { delivered: 0, conflated: 0, lost: 0, resets: 0, missing: 0, repeated: 0 };
}
