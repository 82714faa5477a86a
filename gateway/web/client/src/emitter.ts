// Handlers of events, by type.

import type { EventOf, EventType, TickcastEvent } from './event.ts';

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

  emit(event: TickcastEvent): void {
    const handlers = this.#byType.get(event.type);
    if (handlers !== undefined) {
      for (const handler of handlers) call(handler as Handler<TickcastEvent>, event);
    }
    for (const handler of this.#all) call(handler, event);
  }
}

/** Calls a handler. What it throws is an uncaught error of its own, as with DOM events. */
export function call<E>(handler: Handler<E>, event: E): void {
  try {
    handler(event);
  } catch (error) {
    queueMicrotask(() => { throw error; });
  }
}
