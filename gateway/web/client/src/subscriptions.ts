// Subscriptions: keeps the server's idea of what this client is subscribed to equal to the registry's, over reconnects,
// changes of terms and refusals that will not last.

import { CHANNELS, isWildcard } from './channel.ts';
import { ERROR_CODES, RefusedError } from './error.ts';
import type { Position, Tracks } from './position.ts';
import { subscribeText, unsubscribeText, type Registry, type Subscribe } from './registry.ts';
import type { Reply, TopicResult } from './reply.ts';
import { divide } from './resume.ts';
import type { Session } from './session.ts';

/** The first and the longest pause before what was refused for the moment is asked for again. */
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 5_000;

/** How often a gateway may say that it is behind what was received of another, before one begins with what it has. */
const AHEAD_MAX = 5;

/** Who is told what the server says to topics that nobody waits for. */
export interface SubscriptionsOwner {
  accepted(topic: string): void;
  /** It is not in the registry any more. */
  refused(topic: string, reason: RefusedError): void;
}

/** Keeps the server informed. */
export class Subscriptions {
  readonly registry: Registry;
  readonly #tracks: Tracks;
  readonly #owner: SubscriptionsOwner;
  #session: Session | undefined;
  /** Whether the gateway knows instruments: before it has a feed it knows none. */
  #hasFeed = false;
  /** Refused for the moment. */
  readonly #later = new Set<string>();
  /** Unsubscribed, and not answered yet: what still comes of them is not what a new subscription goes on from. */
  readonly #leaving = new Set<string>();
  /** How often the gateway said of a topic that its numbers are not there yet. */
  readonly #ahead = new Map<string, number>();
  #retryMs = RETRY_MIN_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(registry: Registry, tracks: Tracks, owner: SubscriptionsOwner) {
    this.registry = registry;
    this.#tracks = tracks;
    this.#owner = owner;
  }

  /**
   * A connection begins: everything is subscribed again. To be called before the tracks enter another epoch, so that the
   * server is asked for what follows the numbers of the old one, and says what became of them.
   */
  begin(session: Session): void {
    this.#session = session;
    this.#hasFeed = session.hello.epoch !== 0n;
    this.#later.clear();
    this.#leaving.clear();
    this.#ahead.clear();
    if (this.#hasFeed) this.send(this.registry.topics());
  }

  /** It is over. */
  end(): void {
    clearTimeout(this.#timer);
    this.#session = undefined;
  }

  /** The gateway says that it has a feed. */
  feedLive(): void {
    if (this.#hasFeed) return this.#sendLater();
    this.#hasFeed = true;
    this.send(this.registry.topics());
  }

  /** Subscribes topics of the registry on its present terms, going on where they are. */
  send(topics: Iterable<string>): void {
    this.#send(topics, (chunk) => this.#tracks.position(chunk));
  }

  /**
   * Has the present state of topics sent once more: the gateway goes back by one number, so that nothing is left out for
   * those who go on. Of depth that would be a change, so a snapshot is sent.
   */
  sendState(topics: Iterable<string>): void {
    this.#send(topics, (chunk) => this.#tracks.position(chunk, 'last-again'));
  }

  /** From now on at most so many deliveries a second of each topic, or as many as was asked for. */
  limitRate(perSecond: number | undefined): void {
    this.registry.rateMax = perSecond;
    this.send(this.registry.changed());
  }

  /** Gives a command, with what must go before and after it. `before` as of `Session.ask`. */
  ask(session: Session, command: Subscribe, before?: (reply: Reply) => void): Promise<Reply> {
    const limit = session.hello.limits.topicsPerCommand;
    const parts = divide(command, limit, (topic) => this.registry.get(topic) !== undefined);
    // What the gateway refuses of these begins with the wildcard.
    for (const part of parts.byName) session.ask((id) => subscribeText(id, part)).catch(ignore);
    const reply = session.ask((id) => subscribeText(id, parts.command), before);
    for (const { topics } of parts.byName) session.ask((id) => unsubscribeText(id, topics)).catch(ignore);
    return reply;
  }

  /** The gateway has ended these: the credential is not good for them any more. */
  revoked(topics: readonly string[]): void {
    const reason = new RefusedError(ERROR_CODES.not_entitled, 'not_entitled', 'the credential does not allow it any more');
    for (const topic of topics) {
      if (this.registry.get(topic) === undefined) continue;
      this.registry.delete(topic);
      this.forget([topic]);
      this.#owner.refused(topic, reason);
    }
  }

  /** Ends subscriptions that are not in the registry any more. */
  drop(topics: readonly string[]): void {
    const session = this.#session;
    if (session === undefined) return;
    const limit = session.hello.limits.topicsPerCommand;
    for (let i = 0; i < topics.length; i += limit) {
      const chunk = topics.slice(i, i + limit);
      for (const topic of chunk) this.#leaving.add(topic);
      const gone = () => {
        for (const topic of chunk) this.#leaving.delete(topic);
        this.forget(chunk);
      };
      session.ask((id) => unsubscribeText(id, chunk), gone).catch(ignore);
    }
  }

  /**
   * Forgets how far these topics have come: they are not received any more, or begin anew. An instrument that is received by
   * name and by a wildcard goes on by the other.
   */
  forget(topics: Iterable<string>): void {
    for (const topic of topics) {
      for (const [track, code] of this.#tracks.covered(topic)) {
        const other = `${isWildcard(topic) ? track.symbol : '*'}.${CHANNELS[code]!}`;
        if (this.registry.get(other) === undefined) track.forget(code);
      }
    }
  }

  #send(topics: Iterable<string>, resume: (chunk: string[]) => Position | undefined): void {
    const session = this.#session;
    if (session === undefined || !this.#hasFeed) return;
    const commands = this.registry.commands(topics, session.hello.limits.topicsPerCommand, (chunk) => (
      resume(chunk.filter((topic) => this.#goesOn(topic)))
    ));
    for (const command of commands) this.#subscribe(session, command);
  }

  /** Whether a topic is subscribed behind what was received of it. Numbers that come again are passed over in any case. */
  #goesOn(topic: string): boolean {
    return !this.#leaving.has(topic) && (this.#ahead.get(topic) ?? 0) < AHEAD_MAX;
  }

  #subscribe(session: Session, command: Subscribe): void {
    this.ask(session, command).then(
      (reply) => { if (reply.op === 'ack') this.#note(reply.results); },
      (error: unknown) => {
        if (!(error instanceof RefusedError)) return;
        this.#note(command.topics.map((topic) => ({ topic, ok: false, refusal: error })));
      },
    );
  }

  #note(results: readonly TopicResult[]): void {
    for (const { topic, refusal } of results) {
      if (this.registry.get(topic) === undefined) continue;
      if (refusal === undefined) {
        this.#ahead.delete(topic);
        this.#owner.accepted(topic);
      } else if (refusal.code === ERROR_CODES.resume_ahead) {
        // A gateway that has only begun is behind what another has delivered: it will come to that.
        this.#ahead.set(topic, (this.#ahead.get(topic) ?? 0) + 1);
        this.#later.add(topic);
      } else if (refusal.isRetriable) {
        this.#later.add(topic);
      } else {
        this.registry.delete(topic);
        this.#owner.refused(topic, refusal);
      }
    }
    if (this.#later.size > 0) this.#retryLater();
    else this.#retryMs = RETRY_MIN_MS;
  }

  #retryLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#sendLater(), this.#retryMs * (0.5 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #sendLater(): void {
    const topics = [...this.#later];
    this.#later.clear();
    this.send(topics);
  }
}

function ignore(): void {}
