import { defineConfig } from 'vitest/config'

/** Bun and Deno come from npm packages for this platform only. */
const hasRuntimes = process.platform === 'linux' && process.arch === 'x64'

export default defineConfig({
  test: {
    include: ['test/consumers/*.test.ts'],
    exclude: hasRuntimes ? [] : ['test/consumers/runtimes.test.ts'],
    globalSetup: ['test/consumers/support/global-setup.ts'],
    pool: 'forks',
    // Each consumer keeps about one core busy.
    maxWorkers: 2,
    // They build, and fetch what they build with when it is not in the cache yet.
    testTimeout: 300_000,
    hookTimeout: 500_000,
    // By default a second, which is over when a busy machine stops a process for that long.
    expect: { poll: { timeout: 15_000 } },
    reporters: ['verbose'],
    // The tests' own client is the package as it ships, too.
    server: { deps: { external: [/\/dist\//] } },
  },
})
