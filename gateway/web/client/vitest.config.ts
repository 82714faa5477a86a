import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Gateways and browsers on machines that are shared: generous, since nothing waits for it to pass.
    testTimeout: 600_000,
    hookTimeout: 120_000,
    teardownTimeout: 120_000,
    // A gateway each; two cores are all that CI has.
    maxWorkers: 2,
    // Processes, which ports are told apart by.
    pool: 'forks',
  },
});
