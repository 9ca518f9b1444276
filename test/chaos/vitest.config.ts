import { defineConfig } from 'vitest/config'

/** The chaos alone, which starts the servers it needs. */
export default defineConfig({
  test: {
    include: ['test/chaos/chaos.test.ts'],
    pool: 'forks',
    disableConsoleIntercept: true,
    server: { deps: { external: [/\/dist\//] } },
  },
})
