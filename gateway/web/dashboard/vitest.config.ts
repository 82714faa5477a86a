import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { "@tickcast/client": fileURLToPath(new URL("../client/src/index.ts", import.meta.url)) } },
  test: {
    include: ["test/**/*.test.ts"],
    // Gateways and browsers on machines that are shared: generous, since nothing waits for it to pass.
    testTimeout: 600_000,
    hookTimeout: 120_000,
    teardownTimeout: 120_000,
    // A gateway and a browser each; two cores are all that CI has.
    maxWorkers: 1,
  },
});
