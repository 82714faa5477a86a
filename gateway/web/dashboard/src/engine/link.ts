/** The page's side of the engine, wherever it runs. */
import type { FromEngine, ToEngine } from "./protocol.ts";

export interface EngineLink {
  post(message: ToEngine): void;
}

/** Starts an engine of its own thread. */
export function inWorker(receive: (message: FromEngine) => void): EngineLink {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "engine" });
  worker.onmessage = (event: MessageEvent<FromEngine>) => receive(event.data);
  return { post: (message) => worker.postMessage(message) };
}

/** Starts an engine in the page's own thread: to measure what the other one saves (`?engine=page`). */
export function inPage(receive: (message: FromEngine) => void): EngineLink {
  const loading = import("./engine.ts");
  let engine: InstanceType<Awaited<typeof loading>["Engine"]> | null = null;
  const waiting: ToEngine[] = [];
  return {
    post(message) {
      if (message.kind === "open") {
        void loading.then(({ Engine }) => {
          engine = new Engine(message, receive);
          for (const one of waiting) engine.handle(one);
        });
      } else if (engine) engine.handle(message);
      else waiting.push(message);
    },
  };
}
