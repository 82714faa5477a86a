// Visibility: a page that nobody sees is served slowly, and one that is seen again at once.

import type { HiddenOptions } from './options.ts';

/** What there is of `document`, in pages. */
interface DocumentLike {
  readonly visibilityState: string;
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

/** Who is told. */
export interface VisibilityOwner {
  hidden(options: Required<HiddenOptions>): void;
  shown(): void;
  /** The network is back, or the page was frozen and goes on: connections may be dead. */
  woken(): void;
}

/** Listens to the page, where there is one, and to the network. Returns what ends that. */
export function listen(options: Required<HiddenOptions> | 'keep', owner: VisibilityOwner): () => void {
  const { document } = globalThis as { document?: DocumentLike };
  const scope = globalThis as unknown as Partial<Pick<DocumentLike, 'addEventListener' | 'removeEventListener'>>;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (document?.visibilityState !== 'hidden') {
      if (options !== 'keep') owner.shown();
      owner.woken();
    } else if (options !== 'keep') {
      timer = setTimeout(() => owner.hidden(options), options.afterMs);
    }
  };
  const woken = () => owner.woken();
  document?.addEventListener('visibilitychange', look);
  // Page lifecycle: a frozen page goes on.
  document?.addEventListener('resume', woken);
  scope.addEventListener?.('online', woken);
  if (document?.visibilityState === 'hidden') look();
  return () => {
    clearTimeout(timer);
    document?.removeEventListener('visibilitychange', look);
    document?.removeEventListener('resume', woken);
    scope.removeEventListener?.('online', woken);
  };
}
