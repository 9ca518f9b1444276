import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // One file at a time: the files share the servers and start processes, and some measure milliseconds.
    fileParallelism: false,
    // The package is tested as it ships: Node resolves `soloist` through the exports map and runs dist as it is.
    server: { deps: { external: [/\/dist\//] } },
    dangerouslyIgnoreUnhandledErrors: false,
  },
})
