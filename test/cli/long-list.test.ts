import { randomUUID } from 'node:crypto'
import { connect, jobKey, jobLockNames, type Soloist } from 'soloist'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { batches } from '../../dist/cli/output/batches.js'
import { startProxy } from '../support/proxy.js'
import { lines, useBench } from './support.js'

const bench = useBench()
const url = String(process.env.SOLOIST_TEST_REDIS)
/** More than are put in order and shown at once. */
const MANY = 2_500

/** So few at once that a busy machine answers each in time. */
async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < items.length; i += 50) await Promise.all(items.slice(i, i + 50).map(work))
}

describe('batches', () => {
  /** Counts up to `end`, then waits for what never comes. */
  async function* count(end: number, closed: () => void = () => {}): AsyncGenerator<number, void, undefined> {
    try {
      for (let i = 0; i < end; i++) yield i
      if (end % 2 === 1) await new Promise(() => {})
    } finally {
      closed()
    }
  }

  async function sizes(source: AsyncIterable<number>): Promise<readonly (readonly [number, boolean])[]> {
    const seen: (readonly [number, boolean])[] = []
    for await (const { items, all } of batches(source)) seen.push([items.length, all])
    return seen
  }

  test('are all there is where that is little, and else 1,000 at a time, in their order', async () => {
    expect(await sizes(count(0))).toEqual([[0, true]])
    expect(await sizes(count(998))).toEqual([[998, true]])
    expect(await sizes(count(1_000))).toEqual([[1_000, false]])
    expect(await sizes(count(2_222))).toEqual([
      [1_000, false],
      [1_000, false],
      [222, false],
    ])
  })

  test('come although the list does not end, and hold no more than they show', async () => {
    const source = batches(count(1_003))
    const first = await source.next()
    const second = await source.next()
    expect([first.value, second.value]).toMatchObject([{ all: false }, { items: [1_000, 1_001, 1_002], all: false }])
  })

  test('end their source when nobody wants more, and reject as it does', async () => {
    let closed = 0
    for await (const _ of batches(count(Number.MAX_SAFE_INTEGER - 1, () => closed++))) break
    expect(closed).toBe(1)
    const failing = async function* () {
      yield 1
      throw new Error('gone')
    }
    await expect(sizes(failing())).rejects.toThrow('gone')
  })
})

describe('more than fit one batch', () => {
  let prefix: string
  let solo: Soloist
  const store = () => ['--store', url, '--key-prefix', prefix]
  beforeEach(() => {
    prefix = `t${randomUUID().slice(0, 8)}:`
    solo = connect(url, { prefix })
  })
  afterEach(async () => {
    await solo.clear('')
    await solo.close()
  })

  async function takeMany(): Promise<readonly string[]> {
    const names = Array.from({ length: MANY }, (_, i) => `job:${String(i).padStart(5, '0')}`)
    await inTurn(names, name => solo.jobs.take(name, 'me'))
    return names
  }

  test('ls shows each lock once', async () => {
    const names = await takeMany()
    const table = await bench().run('ls', ...store())
    const [title, ...rows] = lines(table.stdout)
    expect([table.exitCode, table.stderr, title]).toEqual([0, '', expect.stringMatching(/^NAME +OWNER +MODE/)])
    const shown = rows.map(row => row.split(' ')[0])
    expect([...shown].sort()).toEqual(names)
    // Each part is sorted, however many a busy machine makes of them; the store itself has them in any order.
    const steps = shown.filter((name, i) => i > 0 && String(name) < String(shown[i - 1]))
    expect(steps.length).toBeLessThan(MANY / 25)
    const json = await bench().run('ls', '--json', ...store())
    expect(lines(json.stdout)).toHaveLength(1)
    const listed = JSON.parse(json.stdout).locks.map(({ name }: { name: string }) => name)
    expect(listed.sort()).toEqual(names)
  })

  test.each(['ls', 'jobs'])('what %s has shown stays when the store stops to answer', async verb => {
    const names = Array.from({ length: MANY }, (_, i) => jobLockNames('sync', jobKey(i)).trigger)
    await inTurn(names, name => solo.jobs.take(name, 'bullmq:bull:work:1'))
    const proxy = await startProxy(Number(new URL(url).port))
    try {
      // A hundred locks are looked at in one call. The network is gone for good: another connection would not help.
      let asked = 0
      proxy.dropReplyTo(([command]) => {
        if (!/^evalsha$/i.test(String(command)) || ++asked <= 18) return false
        proxy.blackhole()
        return true
      }, 'stall')
      const { exitCode, stdout, stderr } = await bench().run(verb, '--store', proxy.url, '--key-prefix', prefix)
      expect([exitCode, lines(stderr)]).toEqual([69, [expect.stringMatching(/^soloist: the redis backend/)]])
      expect(lines(stdout).length).toBeGreaterThan(1_000)
    } finally {
      await proxy.close()
    }
  })

  test('jobs shows each job once and in its state, although its locks come apart', async () => {
    const owner = (i: number) => `bullmq:bull:work:${i}`
    const expected: string[] = []
    await inTurn(
      Array.from({ length: 900 }, (_, i) => i),
      async i => {
        const { trigger, run, next } = jobLockNames('sync', jobKey(i))
        const is = (state: string, holder: string, ...locks: readonly string[]) => {
          expected.push([jobKey(i), state, holder, ...locks].join(' '))
        }
        switch (i % 6) {
          case 0:
            await solo.jobs.take(trigger, owner(i))
            return is('live', owner(i), trigger)
          case 1:
            await solo.jobs.take(trigger, `host:${i}`)
            await solo.jobs.take(run, `host:${i}`, { ttlMs: 600_000 })
            await solo.jobs.take(next, owner(i + 10_000))
            is('next', owner(i + 10_000), next)
            return is('running', `host:${i}`, run, trigger)
          case 2:
            await solo.jobs.take(trigger, `${owner(i)}#set`)
            return is('period', `${owner(i)}#set`, trigger)
          case 3:
            // One runs, another is queued.
            await solo.jobs.take(trigger, `host:${i}`)
            await solo.jobs.take(run, `host:${i + 20_000}`, { ttlMs: 600_000 })
            is('running', `host:${i + 20_000}`, run)
            return is('queued', `host:${i}`, trigger)
          case 4:
            await solo.jobs.take(trigger, `host:${i}`, { ttlMs: 600_000 })
            await solo.jobs.take(run, `host:${i}`, { ttlMs: 600_000 })
            return is('running', `host:${i}`, run, trigger)
          default:
            await solo.jobs.take(run, `host:${i}`, { ttlMs: 600_000 })
            return is('running', `host:${i}`, run)
        }
      },
    )
    const { exitCode, stdout, stderr } = await bench().run('jobs', '--json', ...store())
    expect([exitCode, stderr]).toEqual([0, ''])
    interface Shown {
      readonly key: string
      readonly state: string
      readonly owner: string
      readonly locks: readonly { readonly name: string }[]
    }
    const shown = (JSON.parse(stdout).jobs as Shown[]).map(({ key, state, owner, locks }) =>
      [key, state, owner, ...locks.map(({ name }) => name)].join(' '),
    )
    expect([...shown].sort()).toEqual([...expected].sort())
    const table = await bench().run('jobs', ...store())
    expect(lines(table.stdout)).toHaveLength(expected.length + 1)
  })
})

test('on 80 columns names and owners that differ in their ends do so on a terminal, and nothing is cut elsewhere', async () => {
  await using solo = connect(bench().store)
  const { run, next } = jobLockNames('a-job-with-a-name', jobKey(1))
  for (const [i, name] of [run, next].entries()) await solo.jobs.take(name, `${'o'.repeat(60)}/${i}`)
  const terminal = bench().startOnTerminal('ls')
  const shown = lines((await terminal.ended).stdout.replaceAll('\r', ''))
  expect(shown.slice(1)).toEqual([
    expect.stringMatching(/^job:.*…\S+:next +o+…o+\/1 /),
    expect.stringMatching(/^job:.*…\S+:run +o+…o+\/0 /),
  ])
  expect(Math.max(...shown.slice(1).map(line => line.length))).toBeLessThanOrEqual(80)
  const { stdout } = await bench().run('ls')
  for (const whole of [run, next, `${'o'.repeat(60)}/0`]) expect(stdout).toContain(whole)
  expect((await bench().run('jobs')).stdout).toContain(` ${jobKey(1)} `)
})
