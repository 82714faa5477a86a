// The client: what a page, a worker or a Node process talks to.

import { Books, type BookHandler } from './books.ts';
import { CommandError, EndedError } from './error.ts';
import { endpoint } from './endpoint.ts';
import { Delivery, type Statistics } from './delivery.ts';
import { Driver, type ClientState, type DriverOwner } from './driver.ts';
import { call, Emitter, warn, type MessageEnd } from './emitter.ts';
import type { EventOf, EventType, Gap, MarketEvent, TickcastEvent } from './event.ts';
import type { Instrument } from './instrument.ts';
import { rate, settings, type ClientOptions, type Settings } from './options.ts';
import { Tracks, type Position } from './position.ts';
import { publishText, type Draft } from './publish.ts';
import { Registry, terms, unsubscribeText, type SubscribeOptions } from './registry.ts';
import type { Hello, Listing, Reply, TopicResult } from './reply.ts';
import type { Session } from './session.ts';
import { EventStream, type StreamOptions } from './stream.ts';
import { Subscriptions } from './subscriptions.ts';
import { listen } from './visibility.ts';
import { Watches, type EventOfTopic, type Watch, type WatchOptions } from './watches.ts';

/** At most so many deliveries a second of each topic: by who owns the client, and while the page is hidden. */
interface Rates {
  own?: number | undefined;
  hidden?: number | undefined;
}

/** A connection that keeps itself alive. */
export class Client {
  readonly #settings: Settings;
  readonly #emitter = new Emitter();
  readonly #tracks = new Tracks();
  readonly #delivery = new Delivery(this.#emitter, this.#tracks);
  readonly #registry = new Registry();
  readonly #subscriptions: Subscriptions;
  readonly #watches: Watches;
  readonly #books: Books;
  readonly #driver: Driver;
  readonly #deafen: () => void;
  readonly #rates: Rates = {};
  #messageHandlers: ((end: MessageEnd) => void)[] = [];
  #ended: EndedError | undefined;
  /** Who waits for a connection. */
  #waiting: { resolve(session: Session): void; reject(error: EndedError): void }[] = [];

  /**
   * A client of `ws://HOST:PORT/v1/stream` or `wss://…`, which begins to connect at once and goes on trying. What is
   * subscribed meanwhile is sent when there is a connection.
   *
   * @throws ConnectError if this is no such URL, or there is no WebSocket here
   * @throws TypeError or RangeError if an option cannot be meant
   */
  constructor(url: string, options: ClientOptions = {}) {
    this.#settings = settings(options);
    this.#subscriptions = new Subscriptions(this.#registry, this.#tracks, {
      accepted: (topic) => this.#watches.accepted(topic),
      refused: (topic, reason) => {
        const isHeard = this.#emitter.emit({ type: 'refused', topic, reason });
        if (!this.#watches.refused(topic, reason) && !isHeard) warn(`${topic} was refused: ${reason.message}`);
      },
    });
    this.#watches = new Watches(this.#subscriptions, this.#delivery, this.#tracks);
    this.#books = new Books(this.#watches);
    this.#driver = new Driver(endpoint(url), this.#settings, this.#tracks, this.#delivery, this.#driverOwner());
    this.#emitter.on('feed', (feed) => {
      if (feed.epoch !== 0n) this.#subscriptions.feedLive();
    });
    this.#deafen = listen(this.#settings.hidden, {
      hidden: ({ maxRate }) => this.#limitRate({ hidden: maxRate }),
      shown: () => this.#limitRate({ hidden: undefined }),
      woken: () => this.#driver.wake(),
    });
    queueMicrotask(() => {
      if (this.#ended === undefined && this.#driver.state === 'connecting') void this.#driver.attempt();
    });
  }

  /**
   * A client that is connected. Unlike the constructor's it has no second try at the first connection.
   *
   * @throws ConnectError
   */
  static async connect(url: string, options: ClientOptions = {}): Promise<Client> {
    const client = new Client(url, options);
    const failed = new Promise<never>((_, reject) => {
      client.on('attemptFailed', ({ reason }) => reject(reason));
      client.on('ended', ({ reason }) => reject(reason.cause ?? reason));
    });
    failed.catch(() => {});
    try {
      await Promise.race([client.ready(), failed]);
      return client;
    } catch (error) {
      client.close();
      throw error instanceof EndedError && error.cause !== undefined ? error.cause : error;
    }
  }

  get state(): ClientState { return this.#driver.state; }

  /** What the gateway said at the begin of the present connection. */
  get hello(): Hello | undefined { return this.#driver.session?.hello; }

  /** The epoch of numbers; 0: none yet. */
  get epoch(): bigint { return this.#tracks.epoch; }

  /** What has passed so far. The object is the same each time, and counts on. */
  get statistics(): Statistics { return this.#delivery.statistics; }

  /** The instruments defined so far. */
  instruments(): Instrument[] {
    return [...this.#tracks].flatMap((track) => track.instrument ?? []);
  }

  instrument(symbol: string): Instrument | undefined {
    return this.#tracks.get(symbol)?.instrument;
  }

  /**
   * Waits for a connection.
   *
   * @throws EndedError if there will be none
   */
  async ready(): Promise<Hello> {
    return (await this.#connected()).hello;
  }

  /**
   * Calls the handler with each event of a type, or with every `event`. Market data of the binary encoding is lent for the
   * time of the call: keep `owned(event)`. Returns what takes the handler away again.
   */
  on<T extends EventType>(type: T, handler: (event: EventOf<T>) => void): () => void;
  on(type: 'event', handler: (event: TickcastEvent) => void): () => void;
  on<T extends EventType>(type: T | 'event', handler: (event: EventOf<T>) => void): () => void {
    return this.#emitter.on(type, handler);
  }

  /** Calls the handler after the events of each message: what came together can be used together. */
  onMessage(handler: (end: MessageEnd) => void): () => void {
    this.#messageHandlers = [...this.#messageHandlers, handler];
    return () => { this.#messageHandlers = this.#messageHandlers.filter((other) => other !== handler); };
  }

  /**
   * Subscribes, or changes the terms of topics that are subscribed; nothing is lost or comes twice by that. One bad topic
   * does not void the others: look at the results.
   *
   * @throws RefusedError if the command as a whole was refused
   * @throws CommandError if its answer did not come
   */
  async subscribe(topics: string | readonly string[], options: SubscribeOptions = {}): Promise<readonly TopicResult[]> {
    const list = typeof topics === 'string' ? [topics] : topics;
    const wanted = terms(options);
    const isStateWanted = options.snapshot === true;
    const taken = (reply: Reply) => {
      // Before any event of what it announces.
      const accepted = results(reply).filter((result) => result.ok).map((result) => result.topic);
      for (const topic of accepted) this.#registry.setAsked(topic, wanted);
      if (options.resume !== undefined) this.#tracks.adopt(options.resume, accepted);
      else if (isStateWanted) this.#repeat(accepted);
    };
    const reply = await this.#withSession((session) => {
      const goOn = isStateWanted ? undefined : this.#tracks.position(list);
      return this.#subscriptions.ask(session, { topics: list, terms: wanted, resume: options.resume ?? goOn }, taken);
    });
    return results(reply);
  }

  /**
   * Ends subscriptions.
   *
   * @throws RefusedError and CommandError as `subscribe`
   */
  async unsubscribe(topics: string | readonly string[]): Promise<readonly TopicResult[]> {
    const list = typeof topics === 'string' ? [topics] : topics;
    const reply = await this.#ask((id) => unsubscribeText(id, list), (reply) => {
      const gone = results(reply).filter((result) => result.ok).map((result) => result.topic);
      for (const topic of gone) this.#registry.delete(topic);
      this.#subscriptions.forget(gone);
    });
    return results(reply);
  }

  /**
   * Calls the handler with the events and gaps of topics until the watch is closed. Watches of the same topic share one
   * subscription; who comes later gets the present state, too. A watch outlives outages, and refusals that do not last.
   * Use either this or `subscribe` for a topic.
   */
  watch<const T extends string>(
    topics: T | readonly T[],
    handler: (event: EventOfTopic<T> | Gap) => void,
    options: WatchOptions = {},
  ): Watch {
    if (this.#ended !== undefined) throw this.#ended;
    const list = typeof topics === 'string' ? [topics] : topics;
    return this.#watches.watch(list, handler as (event: MarketEvent | Gap) => void, options);
  }

  /**
   * Keeps the book of an instrument, and calls the handler when it has changed or can be used (no) more: look at its
   * `state`. Those who watch the same book share it; who comes later is called at once if it can be used.
   */
  watchBook(symbol: string, handler: BookHandler, options: WatchOptions = {}): Watch {
    if (this.#ended !== undefined) throw this.#ended;
    return this.#books.watch(symbol, handler, options);
  }

  /**
   * The events and gaps of topics, owned, for `for await`. Leaving the loop ends the interest in them. Who reads slower than
   * they come gets gaps of the reason `overflow`.
   */
  stream<const T extends string>(
    topics: T | readonly T[],
    options: WatchOptions & StreamOptions = {},
  ): EventStream<EventOfTopic<T> | Gap> {
    const stream: EventStream<EventOfTopic<T> | Gap> = new EventStream(options, () => {
      watch.close();
      ended();
      refused();
    });
    const watch = this.watch<string>(topics, (event) => stream.push(event), options);
    const ended = this.on('ended', ({ reason }) => stream.end(reason.kind === 'closed' ? undefined : reason));
    const refused = this.on('refused', ({ topic, reason }) => {
      if (watch.topics.includes(topic)) stream.end(reason);
    });
    return stream;
  }

  /**
   * Publishes ticks and waits until the bus has them: the result of each has its number, or why it has none. If no answer
   * comes (a `CommandError`) they may have been published or not.
   */
  async publish(ticks: readonly Draft[]): Promise<readonly TopicResult[]> {
    return results(await this.#ask((id) => publishText(id, ticks)));
  }

  /**
   * From now on at most so many deliveries a second of each topic; without a number as many as was asked for. Hidden pages do so
   * by themselves, workers have to be told.
   */
  limitRate(perSecond?: number): void {
    this.#limitRate({ own: perSecond === undefined ? undefined : rate('limitRate', perSecond) });
  }

  /** What the server has subscribed for this connection. */
  async list(): Promise<readonly Listing[]> {
    const reply = await this.#ask((id) => JSON.stringify({ op: 'list', id }));
    return reply.op === 'list' ? reply.topics : [];
  }

  /** How long the server takes to answer, in ms, its queue for this client included. */
  async ping(): Promise<number> {
    let sentAt = 0;
    await this.#ask((id) => {
      sentAt = performance.now();
      return JSON.stringify({ op: 'ping', id });
    });
    return performance.now() - sentAt;
  }

  /**
   * Shows another token on this connection, in place of the one that was shown. What new connections are shown is the option
   * `token`.
   *
   * @throws RefusedError if it is no good one
   */
  async auth(token: string): Promise<void> {
    await this.#ask((id) => JSON.stringify({ op: 'auth', id, token }));
  }

  /** How far it has come: store it, to `resume` from in another process. */
  position(): Position {
    return this.#tracks.position(this.#registry.topics()) ?? { epoch: String(this.#tracks.epoch), topics: {} };
  }

  /** Ends for good. */
  close(): void {
    this.#driver.close();
  }

  async #connected(): Promise<Session> {
    if (this.#ended !== undefined) throw this.#ended;
    const { session } = this.#driver;
    if (session !== undefined) return session;
    return new Promise((resolve, reject) => { this.#waiting.push({ resolve, reject }); });
  }

  #ask(text: (id: number) => string, before?: (reply: Reply) => void): Promise<Reply> {
    return this.#withSession((session) => session.ask(text, before));
  }

  /** Gives a command when there is a connection, and waits for its answer; both within the time for commands. */
  async #withSession(give: (session: Session) => Promise<Reply>): Promise<Reply> {
    const timeout = new CommandError('timeout', 'no answer in time');
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isLate = false;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        isLate = true;
        reject(timeout);
      }, this.#settings.commandTimeoutMs);
    });
    const answer = async () => {
      const session = await this.#connected();
      // Who was told that it failed must not find it done afterwards.
      if (isLate) throw timeout;
      return give(session);
    };
    try {
      return await Promise.race([answer(), late]);
    } catch (error) {
      throw error instanceof EndedError ? new CommandError('ended', error.message) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #limitRate(change: Rates): void {
    Object.assign(this.#rates, change);
    const { own, hidden } = this.#rates;
    this.#subscriptions.limitRate(own === undefined || hidden === undefined ? own ?? hidden : Math.min(own, hidden));
  }

  #repeat(topics: readonly string[]): void {
    for (const topic of topics) {
      for (const [track, code] of this.#tracks.covered(topic)) track.repeats |= 1 << code;
    }
  }

  #driverOwner(): DriverOwner {
    const { statistics } = this.#delivery;
    return {
      messageEnd: (bytes) => {
        statistics.messages += 1;
        statistics.bytes += bytes;
        for (const handler of this.#messageHandlers) call(handler, { bytes });
      },
      connected: (session) => {
        this.#subscriptions.begin(session);
        const { epoch } = session.hello;
        this.#tracks.enter(epoch);
        this.#emitter.emit({ type: 'connected', epoch, reconnects: statistics.reconnects });
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const { resolve } of waiting) resolve(session);
      },
      disconnected: (reason, retryInMs) => {
        statistics.reconnects += 1;
        this.#subscriptions.end();
        this.#emitter.emit({ type: 'disconnected', reason, retryInMs });
      },
      expiring: (inMs) => this.#emitter.emit({ type: 'expiring', inMs }),
      revoked: (topics, narrowed) => {
        this.#emitter.emit({ type: 'revoked', topics, narrowed });
        this.#subscriptions.revoked(topics);
      },
      attemptFailed: (reason, retryInMs) => this.#emitter.emit({ type: 'attemptFailed', reason, retryInMs }),
      ended: (reason) => {
        this.#ended = reason;
        this.#deafen();
        this.#subscriptions.end();
        const isAwaited = this.#watches.ended(reason) || this.#waiting.length > 0;
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const { reject } of waiting) reject(reason);
        const isHeard = this.#emitter.emit({ type: 'ended', reason }) || isAwaited || reason.kind === 'closed';
        if (!isHeard) warn(`there will be no more events: ${reason.message}`);
      },
    };
  }
}

function results(reply: Reply): readonly TopicResult[] {
  return reply.op === 'ack' ? reply.results : [];
}

