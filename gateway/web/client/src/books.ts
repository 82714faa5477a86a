// Books: those that are kept for several who want the same one.

import { Book } from './book.ts';
import { call } from './emitter.ts';
import type { Watch, WatchOptions, Watches } from './watches.ts';

/** Who is told of a book. */
export type BookHandler = (book: Book) => void;

interface Kept {
  readonly book: Book;
  readonly feed: Watch;
  handlers: BookHandler[];
}

/** All books of a client. */
export class Books {
  readonly #watches: Watches;
  readonly #kept = new Map<string, Kept>();

  constructor(watches: Watches) {
    this.#watches = watches;
  }

  watch(symbol: string, handler: BookHandler, options: WatchOptions): Watch {
    const kept = this.#kept.get(symbol) ?? this.#keep(symbol);
    // Two who give the same function are two.
    const own: BookHandler = (book) => call(handler, book);
    kept.handlers = [...kept.handlers, own];
    // The book is fed by its own watch, this one says on which terms.
    const watch = this.#watches.watch([`${symbol}.depth`], ignore, options, 'has-state');
    if (kept.book.state === 'ready') own(kept.book);
    const close = () => {
      kept.handlers = kept.handlers.filter((other) => other !== own);
      watch.close();
      if (kept.handlers.length > 0 || this.#kept.get(symbol) !== kept) return;
      this.#kept.delete(symbol);
      kept.feed.close();
    };
    return { topics: watch.topics, get ready() { return watch.ready; }, close };
  }

  #keep(symbol: string): Kept {
    const book = new Book(symbol);
    const feed = this.#watches.watch([`${symbol}.depth`], (event) => {
      const before = book.state;
      const isChanged = book.apply(event);
      // That it cannot be used any more is worth knowing, too.
      if (isChanged || book.state !== before) for (const handler of kept.handlers) handler(book);
    }, { mode: 'conflate', maxRate: 1 });
    const kept: Kept = { book, feed, handlers: [] };
    this.#kept.set(symbol, kept);
    return kept;
  }
}

function ignore(): void {}
