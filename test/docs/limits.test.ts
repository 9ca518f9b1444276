// docs/limits.md against the constants in src: a bound that changes there has to change on the page.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, textOf } from './pages.js'

/** The number that stands in this file where the group of the pattern is: digits, or a product of some. */
function found(file: string, pattern: RegExp): number {
  const text = pattern.exec(readFileSync(join(ROOT, 'src', file), 'utf8'))?.[1]
  if (text === undefined || !/^[\d_ */.]+$/.test(text)) throw new Error(`src/${file} holds no number at ${pattern}`)
  const [first = Number.NaN, ...others] = text.split(/[*/]/).map(part => Number(part.replaceAll('_', '').trim()))
  return text.includes('/')
    ? first / (others[0] as number)
    : others.reduce((product, factor) => product * factor, first)
}

const constant = (file: string, name: string) =>
  found(file, new RegExp(`(?:const|local) ${name}(?:: number)? = ([\\d_ */.]+)`))

const number = (value: number) => value.toLocaleString('en')
const bytes = (value: number) => `${number(value)} bytes`
const ms = (value: number) => `${number(value)} ms`
const days = (value: number) => `${value / 86_400_000} days`
const share = (value: number) => `1/${Math.round(1 / value)} of the ttl`
const preset = (text: string) => `${text} by default`

const check = (name: string) => constant('internal/check.ts', name)
const redis = (name: string) => constant('backends/redis/protocol/limits.ts', name)
const lookMs = constant('backends/redis/link/silence.ts', 'LOOK_MS')
const sqliteBeatMs = constant('backends/sqlite/rows.ts', 'BEAT_MS')

/** The first two cells of each row, by heading. */
const expected: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'Names and texts': {
    'name of a lock': bytes(check('LONGEST_TEXT_BYTES')),
    '`prefix`': bytes(check('LONGEST_TEXT_BYTES')),
    '`meta` of a lock': bytes(check('LONGEST_TEXT_BYTES')),
    'name of a job': bytes(constant('job/names.ts', 'LONGEST_JOB_NAME_BYTES')),
    '`meta` of a job lock (`solo.jobs`)': bytes(constant('job/locks.ts', 'LONGEST_META_BYTES')),
    'lock name or task id of celery': bytes(constant('adapters/celery/locks.ts', 'LONGEST_BYTES')),
    "depth of a job's arguments": `${constant('internal/json.ts', 'DEEPEST')} levels`,
  },
  'Holding and waiting': {
    'any time in milliseconds': days(check('LONGEST_MS')),
    '`ttlMs`': preset(ms(constant('lock/request.ts', 'DEFAULT_TTL_MS'))),
    'a lease is renewed after': share(constant('lock/holding/renewal.ts', 'RENEW_AFTER')),
    'a renewal that failed is tried again after': share(constant('lock/holding/renewal.ts', 'RETRY_AFTER')),
    '`waitMs`': 'no bound by default',
    '`holdForMs`': '0 ms by default',
    '`callTimeoutMs`': preset(ms(constant('soloist.ts', 'DEFAULT_CALL_TIMEOUT_MS'))),
    'outage that a queued wait survives': ms(constant('lock/waiting/room.ts', 'OUTAGE_MS')),
    'a question of a waiter that failed is asked again within': ms(constant('lock/waiting/room.ts', 'RETRY_MS')),
    'grants that came too late, one after the other': number(constant('lock/waiting/attempt.ts', 'LATE_GRANTS')),
    'limit of a semaphore': number(check('LARGEST_LIMIT')),
    'locks, leases and waiters': 'no bound',
    'holders, and waiters, of a lock that `inspect`, `list` and `soloist get` show': number(redis('SHOWN')),
    'releases that `clear` has under way': number(constant('soloist.ts', 'CLEAR_AT_ONCE')),
  },
  Redis: {
    'steps that travel in one script call': number(redis('MOST_STEPS')),
    'steps of locks that are waited for or shared, in one script call': number(redis('LONG_STEPS')),
    'a client that waits looks at each of its locks every': ms(redis('BEAT_MS')),
    'a pushed grant that nobody confirms stands for': ms(redis('GRANT_MS')),
    'a waiting client that is silent counts as alive for': ms(redis('ALIVE_MS')),
    'keys beside a lock that is idle stay for': ms(redis('IDLE_MS')),
    'keys that one `SCAN` of `list` and `clear` looks at': number(
      found('backends/redis/backend.ts', /SCAN_COUNT = '(\d+)'/),
    ),
    'a connection of ours: time to open': ms(
      found('backends/redis/link/ioredis.ts', /DEFAULTS = .*connectTimeout: ([\d_]+)/),
    ),
    'a connection of ours that does not answer is replaced after': ms(
      constant('backends/redis/link/silence.ts', 'SILENT_LOOKS') * lookMs,
    ),
    'time between two connections': `at most ${ms(constant('backends/redis/link/backoff.ts', 'LONGEST_MS'))}`,
    'outage that a call survives': ms(constant('backends/redis/link/calls.ts', 'OUTAGE_LOOKS') * lookMs),
  },
  Postgres: {
    'steps that travel in one statement': number(constant('backends/postgres/backend.ts', 'MOST_STEPS')),
    'a name with its prefix, or an owner': `${bytes(
      constant('backends/postgres/request.ts', 'LONGEST_KEY_BYTES'),
    )}, where U+0000 and U+0001 count twice`,
    'connections of our own': number(constant('backends/postgres/database/pg.ts', 'OWN_CONNECTIONS')),
    'a client that waits looks at each of its locks every': ms(constant('backends/postgres/backend.ts', 'BEAT_MS')),
    'a pushed grant that nobody confirms stands for': ms(
      found('backends/postgres/sql/_parts.sql', /least\(w\.ttl, (\d+)\)/) / 1_000,
    ),
    'a waiting client that is silent counts as alive for': ms(
      found('backends/postgres/sql/_parts.sql', /seen >= n - (\d+)\)/) / 1_000,
    ),
    'where nothing can be listened for, the database is asked every': ms(
      constant('backends/postgres/pushes.ts', 'POLL_MS'),
    ),
    'the row of a lock that is free stays for': ms(
      found('backends/postgres/sql/_calls.sql', /greatest\(mark, n - (\d+)\)/) / 1_000,
    ),
    'rows that one sweep removes': number(constant('backends/postgres/backend.ts', 'SWEEP_ROWS')),
  },
  SQLite: {
    'a database that another process is writing to is tried for': ms(
      constant('backends/sqlite/transactions.ts', 'BUSY_LIMIT_MS'),
    ),
    'between two tries': `${constant('backends/sqlite/transactions.ts', 'RETRY_MS')} to ${
      constant('backends/sqlite/transactions.ts', 'RETRY_MS') +
      constant('backends/sqlite/transactions.ts', 'RETRY_SPREAD_MS')
    } ms`,
    'steps in one transaction': number(found('backends/sqlite/backend.ts', /mostSteps: number = (\d+)/)),
    'a process that waits looks at the file every': ms(constant('backends/sqlite/watch.ts', 'POLL_MS')),
    'a pushed grant that nobody confirms stands for': ms(constant('backends/sqlite/rows.ts', 'GRANT_MS')),
    'a waiting client that is silent counts as alive for': ms(
      found('backends/sqlite/rows.ts', /ALIVE_MS: number = (\d+) \* BEAT_MS/) * sqliteBeatMs,
    ),
  },
  Jobs: {
    '`ttlMs` of a run': preset(ms(constant('job/options.ts', 'DEFAULT_TTL_MS'))),
    '`resultTtlMs`': preset(ms(constant('job/options.ts', 'DEFAULT_RESULT_TTL_MS'))),
    '`resultLimitBytes`': preset(bytes(constant('job/options.ts', 'DEFAULT_RESULT_LIMIT_BYTES'))),
    '`attempts`': number(constant('job/options.ts', 'MOST_ATTEMPTS')),
    '`backoffMs`': preset(ms(constant('job/options.ts', 'DEFAULT_BACKOFF_MS'))),
    'arguments that a pending run carries for `merge`': bytes(constant('job/pending.ts', 'LONGEST_CARRIED_BYTES')),
    'times that a trigger starts anew since the process that ran it died': number(
      constant('job/triggers.ts', 'MOST_RECOVERIES'),
    ),
    'message of an error that others get': `${number(constant('job/result.ts', 'LONGEST_MESSAGE'))} characters`,
    'pending runs of a key, with `rerun` and `replace`': '1',
    'runs of a key that `delay` lets wait': 'no bound',
  },
  BullMQ: {
    '`graceMs`': preset(ms(found('adapters/bullmq/queue-side.ts', /settings\.graceMs, ([\d_]+)\)/))),
    '`snoozeMs`': preset(ms(found('adapters/bullmq/worker-side.ts', /settings\.snoozeMs, ([\d_]+)\)/))),
    'lease of a run': preset(ms(constant('adapters/bullmq/worker-side.ts', 'DEFAULT_LOCK_MS'))),
    'a running job looks whether it is to stop every': ms(constant('adapters/bullmq/run.ts', 'STOP_CHECK_MS')),
    'an `add` in one step that is not answered: others take two steps after': ms(
      constant('adapters/bullmq/one-step.ts', 'LATE_MS'),
    ),
    'a trigger whose lock others keep changing goes on for': ms(constant('adapters/bullmq/triggers.ts', 'PATIENCE_MS')),
    'jobs that one job is known to replace': number(constant('adapters/bullmq/triggers.ts', 'LONGEST_CHAIN')),
  },
  'celery-singleton': {
    '`graceMs`': preset(ms(constant('adapters/celery/task.ts', 'DEFAULT_GRACE_MS'))),
    '`lockExpirySeconds`': 'no bound by default',
    '`callTimeoutMs`': preset(ms(constant('adapters/celery/wire.ts', 'DEFAULT_CALL_TIMEOUT_MS'))),
    'locks that `clearLocks` and `sweep` deal with at once': number(constant('adapters/celery/locks.ts', 'AT_ONCE')),
    'takeovers of finished tasks within one `submit`': number(constant('adapters/celery/task.ts', 'MOST_TAKEOVERS')),
  },
  'The command': {
    '`--ttl`': preset(ms(constant('lock/request.ts', 'DEFAULT_TTL_MS'))),
    '`--grace`': preset(ms(constant('cli/run/run.ts', 'DEFAULT_GRACE_MS'))),
    '`--interval`': preset(ms(constant('cli/watch/watch.ts', 'DEFAULT_INTERVAL_MS'))),
    'any duration': days(check('LONGEST_MS')),
    '`--key-prefix`, `--meta`, NAME': bytes(constant('cli/arguments.ts', 'LONGEST_TEXT_BYTES')),
  },
}

/** The rows of the page's tables, by the heading above them. */
function shown(): Record<string, Record<string, string>> {
  const parts = textOf('docs/limits.md').split(/^## /m).slice(1)
  return Object.fromEntries(
    parts.map(part => {
      const [heading = ''] = part.split('\n')
      const rows = [...part.matchAll(/^\| (.*?) \| (.*?) \|/gm)].map(([, what = '', bound = '']) => [what, bound])
      return [heading, Object.fromEntries(rows.slice(1))]
    }),
  )
}

test('the page has each bound, as the code has it, and no other', () => {
  expect(shown()).toEqual(expected)
})

test('what the cells say beside the bounds is as the code has it, too', () => {
  const page = textOf('docs/limits.md')
  expect(page).toContain(`at most ${number(constant('job/options.ts', 'LARGEST_RESULT_LIMIT_BYTES'))} |`)
  expect(page).toContain(`at least ${constant('cli/watch/watch.ts', 'LEAST_INTERVAL_MS')} ms |`)
  expect(found('adapters/bullmq/worker-side.ts', /settings\.graceMs, ([\d_]+)\)/)).toBe(
    found('adapters/bullmq/queue-side.ts', /settings\.graceMs, ([\d_]+)\)/),
  )
})

test.each([
  ['sqlite', 'backends/sqlite/view.ts'],
  ['memory', 'backends/memory/store.ts'],
])('%s shows as many holders and waiters as Redis', (_, file) => {
  expect(constant(file, 'SHOWN')).toBe(redis('SHOWN'))
})

test.each([
  ['GRANT_MS', 'backends/memory/store.ts'],
  ['ALIVE_MS', 'backends/memory/store.ts'],
])('memory has the %s of Redis', (name, memory) => {
  expect(constant(memory, name)).toBe(redis(name))
})
