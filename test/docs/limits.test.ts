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
    '`hashTags`': number(constant('backends/redis/keys.ts', 'MOST_HASH_TAGS')),
    '`meta` of a lock': bytes(check('LONGEST_TEXT_BYTES')),
    'name of a job': bytes(constant('job/naming/names.ts', 'LONGEST_JOB_NAME_BYTES')),
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
    'outage that a queued wait survives': ms(constant('lock/waiting/outage.ts', 'OUTAGE_MS')),
    'a question of a waiter that failed is asked again within': ms(constant('lock/waiting/outage.ts', 'RETRY_MS')),
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
    '`restartGuardMs`': 'none by default',
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
    'a connection of our own: time to open': ms(constant('backends/postgres/database/pg.ts', 'OPENING_MS')),
    'a connection of a pool that does not answer is given up after': ms(
      constant('backends/postgres/database/pg.ts', 'SILENT_MS'),
    ),
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
    'a look whether the file, but not its `-wal`, was replaced counts for': ms(
      constant('backends/sqlite/transactions.ts', 'LOOK_MS'),
    ),
    'the log (`-wal`) goes into the file at': bytes(
      1_024 * 1_024 * found('backends/sqlite/transactions.ts', /LOG_BYTES = (\d+) \* 1_024 \* 1_024/),
    ),
    'a pushed grant that nobody confirms stands for': ms(constant('backends/sqlite/queue.ts', 'GRANT_MS')),
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
    'arguments that a trigger leaves for `merge`': bytes(constant('job/merge.ts', 'LONGEST_CARRIED_BYTES')),
    'description of a run': `${constant('internal/job-terms.ts', 'LONGEST_DESCRIPTION')} characters`,
    'it is kept by whom a run was displaced for': ms(constant('job/running/claim.ts', 'DISPLACED_KEPT_MS')),
    'outage that an accepted trigger survives': ms(constant('lock/waiting/outage.ts', 'OUTAGE_MS')),
    'message of an error that others get': `${number(constant('job/running/result.ts', 'LONGEST_MESSAGE'))} characters`,
    'pending runs of a key, with `rerun` and `replace`': '1',
    'runs of a key that `delay` lets wait': 'no bound',
  },
  'Leaders and cron jobs': {
    'name of a leadership': bytes(constant('leader/names.ts', 'LONGEST_NAME_BYTES')),
    'name of a cron job': bytes(constant('cron/names.ts', 'LONGEST_NAME_BYTES')),
    '`ttlMs` of a term': preset(ms(constant('leader/leader.ts', 'DEFAULT_TTL_MS'))),
    'while nobody leads, `observe` looks every': ms(constant('leader/leader.ts', 'LOOK_MS')),
    'a leader that does not give way is asked to resign': `${constant('leader/leader.ts', 'ASKS')} times, after ${ms(
      constant('leader/leader.ts', 'ASK_AGAIN_MS'),
    )} and then up to every ${ms(constant('leader/leader.ts', 'LONGEST_ASK_AGAIN_MS'))}`,
    '`keepForMs`': preset(ms(constant('cron/options.ts', 'DEFAULT_KEEP_FOR_MS'))),
    '`ttlMs` of a run': preset(ms(constant('cron/options.ts', 'DEFAULT_TTL_MS'))),
    '`lateMs`': preset(ms(constant('cron/options.ts', 'DEFAULT_LATE_MS'))),
    '`jitterMs`': '0 ms by default',
    'time without a look at the clock': ms(constant('cron/schedule.ts', 'LONGEST_SLEEP_MS')),
    'what is known of a cron job is kept for': days(constant('cron/entry.ts', 'KEPT_MS')),
    'who notes something of a cron job has a turn of': ms(constant('cron/entry.ts', 'TURN_MS')),
    "message of a run's error in `crons`": `${constant('cron/entry.ts', 'LONGEST_MESSAGE')} characters`,
    'ticks of a cron job that `queue` lets wait': '1',
    'scheduled times': 'from 1970 to 9999',
  },
  BullMQ: {
    '`graceMs`': preset(ms(found('adapters/bullmq/options/settings.ts', /settings\.graceMs, ([\d_]+)\)/))),
    "BullMQ's lock of a job": preset(ms(constant('adapters/bullmq/running/side.ts', 'DEFAULT_LOCK_MS'))),
    'runs that may be asked to stop look every': ms(constant('adapters/bullmq/running/stops.ts', 'LOOK_MS')),
    'an `add` waits for its queue to be connected for': ms(
      constant('adapters/bullmq/fused/connecting.ts', 'CONNECT_MS'),
    ),
    'an `add` in two steps goes on while the queue answers nothing for': ms(
      constant('adapters/bullmq/lock/connection.ts', 'SILENT_MS'),
    ),
    "a connection of ours beside BullMQ's that is asked and silent is replaced after": ms(
      constant('adapters/bullmq/lock/connection.ts', 'SILENT_MS'),
    ),
    '`close()` of a queue or flow producer waits for an answer for': ms(
      constant('adapters/bullmq/lock/connection.ts', 'SILENT_MS'),
    ),
    'in two steps the queue is asked whether it answers when it has been silent for': ms(
      constant('adapters/bullmq/lock/answering.ts', 'RECENT_MS'),
    ),
    'an `add` that is not answered: others wait after': ms(constant('adapters/bullmq/fused/fused.ts', 'LATE_MS')),
    'a trigger whose lock others keep changing goes on for': ms(
      constant('adapters/bullmq/adding/fate.ts', 'PATIENCE_MS'),
    ),
    'a job that waits for its lock is delayed for': ms(
      found('adapters/bullmq/fused/scripts/common.lua', /^local FAR = (\d+)$/m),
    ),
    'a job that waits for who wakes nobody looks every': ms(
      found('adapters/bullmq/fused/scripts/common.lua', /^local LOOK_AT_OTHERS_MS = (\d+)$/m),
    ),
    'jobs that one fetch puts aside': number(
      found('adapters/bullmq/fused/scripts/fetch.lua', /^local MOST_PARKS = (\d+)$/m),
    ),
    'keys that a look for what others left goes through': number(
      found('adapters/bullmq/fused/scripts/tidy.lua', /^local SEEN_AT_ONCE = (\d+)$/m),
    ),
    'a queue whose trigger met a worker that knows nothing of locks looks every': ms(
      constant('adapters/bullmq/lock/tidying/tidying.ts', 'LOOK_MS'),
    ),
    'locks that one sweep sets right': number(found('adapters/bullmq/fused/scripts/sweeping.lua', /'soloist', (\d+),/)),
    'connections to look for jobs in other queues': '1',
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
  const settings = readFileSync(join(ROOT, 'src/adapters/bullmq/options/settings.ts'), 'utf8')
  const graces = [...settings.matchAll(/settings\.graceMs, ([\d_]+)\)/g)].map(([, ms]) => ms)
  expect(graces, 'of queues and of workers').toEqual([graces[0], graces[0]])
})

test.each([
  ['sqlite', 'backends/sqlite/view.ts'],
  ['memory', 'backends/memory/lock.ts'],
])('%s shows as many holders and waiters as Redis', (_, file) => {
  expect(constant(file, 'SHOWN')).toBe(redis('SHOWN'))
})

test.each([
  ['GRANT_MS', 'backends/memory/locks.ts'],
  ['ALIVE_MS', 'backends/memory/locks.ts'],
])('memory has the %s of Redis', (name, memory) => {
  expect(constant(memory, name)).toBe(redis(name))
})
