/** The engine in a worker: the page's thread has only the painting. */
import { Engine } from "./engine.ts";
import type { FromEngine, ToEngine } from "./protocol.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<ToEngine>) => void) | null;
  postMessage(message: FromEngine, transfer: Transferable[]): void;
};

let engine: Engine | null = null;

scope.onmessage = ({ data }) => {
  if (data.kind === "open") engine = new Engine(data, (message, transfer = []) => scope.postMessage(message, transfer));
  else engine?.handle(data);
};
