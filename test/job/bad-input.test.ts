import { connect, type JobOptions, memoryBackend } from 'soloist'
import { afterAll, describe, expect, test } from 'vitest'

/** A backend that fails the test when anything is sent. */
const silent = memoryBackend()
const sent = () => Promise.reject(new Error('something was sent'))
Object.assign(silent, { run: sent, inspect: sent, results: { watch: sent } })
const solo = connect(silent)
afterAll(() => solo.close())

const handler = () => 1
const refused = expect.objectContaining({ name: 'SoloistError', code: 'INVALID_ARGUMENT' })

function problem(options: unknown, run: unknown = handler, name: unknown = 'job'): string {
  try {
    solo.job(name as string, options as JobOptions<undefined>, run as () => number)
  } catch (error) {
    expect(error).toEqual(refused)
    return (error as Error).message
  }
  throw new Error('it was not refused')
}

describe('a definition is refused', () => {
  test.each<[unknown, string]>([
    [{ mode: 'always' }, 'mode must be one of untilExecuted'],
    [{ mode: null }, 'mode must be one of'],
    [{ onDuplicate: 'drop' }, 'onDuplicate must be one of join, reject, skip, replace, rerun, delay, or a function'],
    [{ mode: 'untilExpired' }, 'untilExpired needs expiryMs'],
    [{ expiryMs: 5 }, 'expiryMs needs the mode untilExpired'],
    [{ mode: 'untilExpired', expiryMs: 0 }, 'expiryMs must be a number'],
    [{ merge: handler }, 'merge needs the strategy rerun'],
    [{ onDuplicate: 'replace', merge: handler }, 'merge needs the strategy rerun'],
    [{ onDuplicate: 'rerun', merge: 'newest' }, 'merge must be a function'],
    [{ onRunning: 'stop' }, 'onRunning needs the strategy replace'],
    [{ onDuplicate: 'replace', onRunning: 'kill' }, 'onRunning must be stop or follow'],
    [{ onDuplicate: 'replace', mode: 'untilExecuting', onRunning: 'stop' }, 'onRunning contradicts untilExecuting'],
    [{ onDuplicate: 'replace', mode: 'untilAndWhileExecuting', onRunning: 'follow' }, 'onRunning contradicts until'],
    [{ backoffMs: 5 }, 'backoffMs needs attempts of 2 or more'],
    [{ attempts: 0 }, 'attempts must be a whole number from 1 to 1000'],
    [{ attempts: 1.5 }, 'attempts must be a whole number'],
    [{ attempts: 2, backoffMs: -1 }, 'backoffMs must be a number'],
    [{ ttlMs: 0 }, 'ttlMs must be a number'],
    [{ resultTtlMs: 0 }, 'resultTtlMs must be a number'],
    [{ resultLimitBytes: 2_000_000 }, 'resultLimitBytes must be a whole number'],
    [{ uniqueOn: 'user' }, 'uniqueOn must be a list of field names or a function'],
    [{ uniqueOn: [1] }, 'uniqueOn must be a list'],
    [{ serialize: 'json' }, 'serialize must be a function'],
    [
      { uniqueon: ['id'] },
      'there is no option "uniqueon": did you mean uniqueOn? The options are uniqueOn, serialize, mode,',
    ],
    [{ limit: 0 }, 'a limit must be a whole number from 1'],
    [{ limit: 2, mode: 'untilExpired', expiryMs: 5 }, 'limit contradicts untilExpired'],
    [{ debounce: { waitMs: 0 } }, 'debounce.waitMs must be a number'],
    [{ debounce: { waitMs: 5, maxWaitMs: 4 } }, 'debounce.maxWaitMs must be a number of milliseconds from 5'],
    [{ debounce: { wait: 5 } }, 'debounce: there is no option "wait": did you mean waitMs'],
    [{ debounce: 5 }, 'the options must be an object'],
    [{ debounce: { waitMs: 5 }, onDuplicate: 'join' }, 'debounce needs the strategy rerun'],
    [{ debounce: { waitMs: 5 }, onDuplicate: () => 'rerun' }, 'debounce needs the strategy rerun'],
    [{ debounce: { waitMs: 5 }, mode: 'untilExpired', expiryMs: 5 }, 'debounce contradicts untilExpired'],
    [{ maxRunMs: 0 }, 'maxRunMs must be a number'],
    [{ releaseOnFailure: true }, 'releaseOnFailure needs the mode untilExpired'],
    [{ releaseOnFailure: 1, mode: 'untilExpired', expiryMs: 5 }, 'releaseOnFailure must be true or false'],
    [{ describe: 'shop' }, 'describe must be a function'],
    [{ scope: 'name' }, 'scope is for jobs of BullMQ'],
    [null, 'the options must be an object'],
  ])('with the options %j', (options, message) => {
    expect(problem(options)).toContain(message)
  })

  test('with a name or a handler that cannot be taken', () => {
    expect(problem({}, null)).toContain('a job needs a function to run')
    expect(problem({}, handler, '')).toContain('a job name must not be empty')
    expect(problem({}, handler, 'x'.repeat(901))).toContain('a job name must not be longer than 900 bytes; it has 901')
    expect(problem({}, handler, 7)).toContain('a job name must be a string')
  })
})

describe('a trigger is refused before anything is sent', () => {
  const refusals: [string, () => Promise<unknown>][] = [
    ['arguments without a key', () => solo.job('a', (args: unknown) => args).trigger({ at: new Date() })],
    [
      'a cycle',
      () => {
        const cycle: Record<string, unknown> = {}
        cycle.self = cycle
        return solo.job('a', (args: unknown) => args)(cycle)
      },
    ],
    ['an absent field', () => solo.job('a', { uniqueOn: ['id'] }, (_: { id?: number }) => 1).trigger({})],
    [
      'arguments too long to carry',
      () => {
        const merge = (one: string) => one
        return solo
          .job('a', { onDuplicate: 'rerun', merge, uniqueOn: () => 1 }, (_: string) => 1)
          .trigger('x'.repeat(17_000))
      },
    ],
    [
      'arguments to carry that are no JSON data',
      () => {
        const options = { onDuplicate: 'rerun' as const, merge: (one: unknown) => one, serialize: () => 'x' }
        return solo.job('a', options, (_: unknown) => 1).trigger({ at: 1n })
      },
    ],
    ['a describe that throws', () => solo.job('a', { describe: () => JSON.parse('{') }, (_: number) => 1).trigger(1)],
    ['a describe without a text', () => solo.job('a', { describe: () => 1 as never }, (_: number) => 1).trigger(1)],
    ['a time-out of nothing', () => solo.job('a', (_: number) => 1)(1, { timeoutMs: 0 })],
    ['a signal that is none', () => solo.job('a', (_: number) => 1)(1, { signal: {} as AbortSignal })],
    ['an option of waiting that there is not', () => solo.job('a', (_: number) => 1)(1, { timeout: 1 } as never)],
    ['job locks by names of another kind', () => solo.jobs.take('report', 'me')],
    ['an empty owner', () => solo.jobs.take('job:a', '')],
    ['a ttl of nothing', () => solo.jobs.take('job:a', 'me', { ttlMs: 0 })],
    ['a meta that is too long', () => solo.jobs.claim('job:a', 'me', { meta: 'x'.repeat(17_000) })],
    ['a result that is kept for no time', () => solo.jobs.release('job:a', 'me', { text: '1', keepMs: 0 })],
    ['a result with a lone surrogate', () => solo.jobs.release('job:a', 'me', { text: '\ud800', keepMs: 1 })],
  ]
  test.each(refusals)('%s', async (_, trigger) => {
    await expect(trigger()).rejects.toEqual(refused)
  })
})

test('a job without arguments needs none', async () => {
  await using free = connect('memory:')
  const job = free.job('report', async () => 7)
  expect(job.name).toBe('report')
  expect(await job()).toBe(7)
  expect(job.key()).toBe(job.key(undefined))
})
