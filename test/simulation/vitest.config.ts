import { defineConfig } from 'vitest/config'

/** The simulation alone, which needs no servers. */
export default defineConfig({
  test: {
    include: [`test/simulation/${process.env.SOLOIST_SIMULATION_OF ?? '{locks,jobs}'}.test.ts`],
    pool: 'forks',
    // What happens is printed as it is, and not line by line with a title.
    disableConsoleIntercept: true,
    server: { deps: { external: [/\/dist\//] } },
  },
})
