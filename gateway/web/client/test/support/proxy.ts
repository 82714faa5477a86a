// A network between client and gateway that can be made bad: connections cut, stalled, delayed, refused.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** A proxy for TCP. */
export class Proxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #target: number;
  #isStalled = false;
  #isRefusing = false;
  #delayMs = 0;
  /** Connections that were let through. */
  accepted = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
    onTestFinished(() => this.#close());
  }

  static async before(target: number): Promise<Proxy> {
    const proxy = new Proxy(target);
    await new Promise<void>((done) => { proxy.#server.listen(0, '127.0.0.1', done); });
    return proxy;
  }

  get port(): number { return (this.#server.address() as { port: number }).port; }

  get url(): string { return `ws://127.0.0.1:${this.port}/v1/stream`; }

  /** Breaks what there is, without a goodbye. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
    this.#pairs.clear();
  }

  /** Lets nothing through and closes nothing: a network that is gone. */
  stall(): void {
    this.#isStalled = true;
    for (const { client, server } of this.#pairs) {
      client.pause();
      server.pause();
    }
  }

  /** The network is back. What was stalled is not: those connections are dead. */
  heal(): void {
    this.#isStalled = false;
    this.#isRefusing = false;
  }

  /** Refuses new connections. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** Delays what the gateway says from now on, on new connections. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  #accept(client: Socket): void {
    if (this.#isRefusing) {
      client.resetAndDestroy();
      return;
    }
    this.accepted += 1;
    const server = connect(this.#target, '127.0.0.1');
    const pair = { client, server };
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
    client.on('data', (bytes) => server.write(bytes));
    server.on('data', (bytes) => {
      const pass = () => {
        if (!client.destroyed && !this.#isStalled) client.write(bytes);
      };
      if (this.#delayMs > 0) setTimeout(pass, this.#delayMs);
      else pass();
    });
    if (this.#isStalled) {
      client.pause();
      server.pause();
    }
  }

  #close(): void {
    this.cut();
    this.#server.close();
  }
}
