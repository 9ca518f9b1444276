import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * What takes minutes, for it waits for failovers, silence and real processes, or repeats a whole suite on one more kind of
 * server: `npm run test:slow` runs it, and `npm test` all the rest.
 */
const SLOW = [
  'test/bullmq/at-once.test.ts',
  'test/bullmq/parents-met.test.ts',
  'test/bullmq/silence.test.ts',
  'test/bullmq/take-over.test.ts',
  'test/conformance/redis-cluster-*.test.ts',
  'test/cron/fleet.test.ts',
  'test/cron/loading.test.ts',
  'test/faults/failover.test.ts',
  'test/faults/kill/*.test.ts',
  'test/leader/at-once.test.ts',
  'test/leader/chaos.test.ts',
  'test/nest/at-once.test.ts',
  'test/process/*.test.ts',
  'test/redis/link/given.test.ts',
  'test/redis/link/sentinel.test.ts',
  'test/redis/link/silence.test.ts',
  'test/simulation/*.test.ts',
]
/** Real time on Postgres takes a minute of nothing but waiting: only `npm run test:postgres` has it. */
const POSTGRES_BY_HAND = 'test/conformance/postgres-url.test.ts'
/**
 * What has Postgres servers of its own, or repeats the conformance suite on one more client. `npm run test:slow` has all but
 * the one by hand, with the part of the suite that rests on the client; `npm run test:postgres` runs the whole, one after
 * the other.
 */
const POSTGRES_SLOW: readonly string[] = [
  ...['js', 'pgbouncer', 'pglite'].map(name => `test/conformance/postgres-${name}.test.ts`),
  ...['failover', 'faults', 'outbox', 'queues', 'rows', 'silence', 'tls'].map(name => `test/postgres/${name}.test.ts`),
]
export const POSTGRES: readonly string[] = [...POSTGRES_SLOW, POSTGRES_BY_HAND]
/** A thousand triggers from four processes each, minutes of them: `npm run test:crowds` runs it, by hand. */
const CROWDS = [
  'test/*/crowds.test.ts',
  ...['closing', 'parents-at-once', 'parents-crowds', 'taken-over'].map(name => `test/bullmq/${name}.test.ts`),
]
/** What other runs have a share of, and that one the whole. */
const SHARED = ['test/*/histories.test.ts', 'test/bullmq/bulk.test.ts']
const which = process.env.SOLOIST_TESTS ?? 'all'
if (!['all', 'quick', 'slow', 'crowds'].includes(which)) {
  throw new Error('SOLOIST_TESTS must be all, quick, slow or crowds')
}
const INCLUDED: { readonly [which: string]: readonly string[] } = {
  slow: [...SLOW, ...POSTGRES_SLOW],
  crowds: [...CROWDS, ...SHARED],
}
const LEFT_OUT: { readonly [which: string]: readonly string[] } = {
  quick: [...SLOW, ...POSTGRES_SLOW, ...CROWDS],
  slow: CROWDS,
}

/** What takes long, the longest first, so that no worker is left with it at the end. */
const LONG = [
  /[/\\](conformance|simulation)[/\\]|[/\\]bullmq[/\\](parents-met|silence|take-over)\.test/,
  /[/\\](docs[/\\]code|redis[/\\]link[/\\](given|silence)|postgres[/\\]silence)\.test/,
  /[/\\]test[/\\]((cli|docs|faults)[/\\]|redis[/\\](database|sentinel)\.test)/,
  /[/\\]bullmq[/\\](answers|bulk|cells|histories|killed-apart|options|own-ids|paused)\.test/,
]
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = LONG.findIndex(pattern => pattern.test(moduleId))
      return found === -1 ? LONG.length : found
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  test: {
    include: [...(INCLUDED[which] ?? ['test/**/*.test.ts'])],
    // These have configurations of their own.
    exclude: ['test/chaos/**', 'test/consumers/**', POSTGRES_BY_HAND, ...(LEFT_OUT[which] ?? [])],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // Some ten times what the longest takes alone: others share the machine.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // The tests mostly wait, for leases to run out and for processes, so more files than two cores can run share the time.
    // With many more a lease may run out while its holder waits for its turn.
    // Those of `test:slow` compute more, and start more processes.
    maxWorkers: which === 'slow' ? 5 : 7,
    maxConcurrency: 12,
    sequence: { sequencer: LongestFirst },
    // By default a second, which is over when a busy machine stops a process for that long.
    expect: { poll: { timeout: 15_000 } },
    // The package is tested as it ships: Node resolves `soloist` through the exports map and runs dist as it is.
    server: { deps: { external: [/\/dist\//] } },
  },
})
