import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The tests mostly wait for leases to run out, so files can share the time; more of them would disturb those that
    // measure milliseconds.
    maxWorkers: 4,
    maxConcurrency: 12,
    // By default a second, which a busy machine may need for one turn.
    expect: { poll: { timeout: 15_000 } },
    // The package is tested as it ships: Node resolves `soloist` through the exports map and runs dist as it is.
    server: { deps: { external: [/\/dist\//] } },
  },
})
