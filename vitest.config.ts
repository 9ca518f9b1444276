import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** What is known to take long comes first, so that no worker is left with it at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) =>
      /[/\\]test[/\\](conformance|cli|docs|faults)[/\\]/.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter(file => !isLong(file))]
  }
}

/** The conformance suite on further set-ups of Postgres; `npm run test:postgres` runs it. */
export const SLOW: readonly string[] = ['js', 'pgbouncer', 'pglite', 'url'].map(
  name => `test/conformance/postgres-${name}.test.ts`,
)

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // These have a configuration of their own.
    exclude: ['test/consumers/**', ...SLOW],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The tests mostly wait, for leases to run out and for processes, so more files than two cores can run share the time.
    // With many more a lease may run out while its holder waits for its turn.
    maxWorkers: 5,
    maxConcurrency: 12,
    sequence: { sequencer: LongestFirst },
    // By default a second, which is over when a busy machine stops a process for that long.
    expect: { poll: { timeout: 15_000 } },
    // The package is tested as it ships: Node resolves `soloist` through the exports map and runs dist as it is.
    server: { deps: { external: [/\/dist\//] } },
  },
})
