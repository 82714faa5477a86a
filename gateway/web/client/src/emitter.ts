// Handlers of events, by type.

import { EVENT_TYPES, type EventOf, type EventType, type TickcastEvent } from './event.ts';

/** The end of a message: all its events have been delivered. */
export interface MessageEnd {
  readonly bytes: number;
}

type Handler<E> = (event: E) => void;

/** Calls handlers; one that throws does not keep the event from others. */
export class Emitter {
  readonly #byType = new Map<EventType, Handler<never>[]>();
  #all: Handler<TickcastEvent>[] = [];

  on<T extends EventType>(type: T | 'event', handler: Handler<EventOf<T>>): () => void {
    if (type !== 'event' && !Object.hasOwn(EVENT_TYPES, type)) {
      throw new TypeError(`${String(type)}: no such event; there are event, ${Object.keys(EVENT_TYPES).join(', ')}`);
    }
    if (typeof handler !== 'function') throw new TypeError(`${type}: expected a function as its handler`);
    const kept = handler as Handler<never>;
    if (type === 'event') {
      this.#all = [...this.#all, kept as Handler<TickcastEvent>];
      return () => { this.#all = this.#all.filter((other) => other !== kept); };
    }
    // Copied on change, so that handlers may come and go while an event is delivered.
    this.#byType.set(type, [...(this.#byType.get(type) ?? []), kept]);
    return () => {
      this.#byType.set(type, (this.#byType.get(type) ?? []).filter((other) => other !== kept));
    };
  }

  /** Says whether there was a handler for it. */
  emit(event: TickcastEvent): boolean {
    const handlers = this.#byType.get(event.type);
    if (handlers !== undefined) {
      for (const handler of handlers) call(handler as Handler<TickcastEvent>, event);
    }
    for (const handler of this.#all) call(handler, event);
    return (handlers?.length ?? 0) + this.#all.length > 0;
  }
}

/** Says what nobody listened to and everybody should know. */
export function warn(text: string): void {
  (globalThis as { console?: { warn(text: string): void } }).console?.warn(`tickcast: ${text}`);
}

/** Calls a handler. What it throws is an uncaught error of its own, as with DOM events. */
export function call<E>(handler: Handler<E>, event: E): void {
  try {
    handler(event);
  } catch (error) {
    queueMicrotask(() => { throw error; });
  }
}
