import { randomUUID } from 'node:crypto'
import { connect, jobKey, jobLockNames, type Soloist } from 'soloist'
import { SingletonQueue } from 'soloist/bullmq'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually, lines, useBench } from './support.js'

const bench = useBench()

let solo: Soloist
beforeEach(() => {
  solo = connect(bench().store)
})
afterEach(() => solo.close())

async function untilAborted(signal: AbortSignal): Promise<void> {
  await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
}

interface Listed {
  readonly job: string
  readonly key: string
  readonly state: string
  readonly owner: string | null
}

async function listed(...args: readonly string[]): Promise<readonly Listed[]> {
  const { exitCode, stdout, stderr } = await bench().run('jobs', ...args, '--json')
  expect([exitCode, stderr]).toEqual([0, ''])
  return JSON.parse(stdout).jobs
}

describe('jobs', () => {
  test('--args finds a job by its arguments, in whatever order they are written, among all or of one name', async () => {
    const args = { id: 7, tags: ['b', 'a'], from: { city: 'Köln', zip: '50667' } }
    const sync = solo.job(
      'sync',
      { onDuplicate: 'rerun' },
      async (_: unknown, { signal }) => await untilAborted(signal),
    )
    const some = solo.job('by-id', { uniqueOn: ['id', 'tags'] }, async (_: typeof args, { signal }) => {
      await untilAborted(signal)
    })
    for (const outcome of [await sync.trigger(args), await sync.trigger(args), await some.trigger(args)]) {
      outcome.result().catch(() => {})
    }
    await solo.jobs.take(jobLockNames('sync-all', jobKey(args)).trigger, 'job-1')
    await solo.jobs.take(jobLockNames('sync', jobKey({ id: 8 })).trigger, 'other')
    await solo.jobs.take(jobLockNames('nothing', jobKey(undefined)).trigger, 'me')
    const found = async (...words: readonly string[]) =>
      (await listed(...words)).map(({ job, key, state }) => [job, key, state])
    const written = '{ "from": {"zip":"50667","city":"K\\u00f6ln"}, "tags":["b","a"], "id": 7.0 }'
    const key = jobKey(args)
    expect(await found('--args', written)).toEqual([
      ['sync', key, 'running'],
      ['sync', key, 'next'],
      ['sync-all', key, 'queued'],
    ])
    expect(await found('sync', '--args', written)).toEqual([
      ['sync', key, 'running'],
      ['sync', key, 'next'],
    ])
    expect(await found('syn', '--args', written)).toEqual([])
    // What uniqueOn leaves of them.
    expect(await found('by-id', '--args', '{"tags":["b","a"],"id":7}')).toHaveLength(1)
    expect(await found('--args', 'null')).toEqual([['nothing', jobKey(null), 'queued']])
    const none = await bench().run('jobs', 'sync', '--args', '{"id":9}')
    expect(none).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: `soloist: no live job named 'sync' has these arguments; their key is ${jobKey({ id: 9 })}\n`,
    })
  })

  test('--args finds a job of BullMQ by its data, where the queue is no part of its key', async () => {
    const { hostname: host, port } = new URL(String(process.env.SOLOIST_TEST_REDIS))
    const prefix = `t${randomUUID().slice(0, 8)}`
    const options = { connection: { host, port: Number(port) }, prefix }
    const queue = new SingletonQueue('work', { ...options, singleton: { solo, jobs: { sync: { scope: 'name' } } } })
    try {
      const { id } = await queue.add('sync', { url: 'https://example.org/a', id: 1 })
      await queue.add('sync', { url: 'https://example.org/b', id: 1 })
      const found = await listed('sync', '--args', '{"id":1,"url":"https://example.org/a"}')
      expect(found.map(({ owner }) => owner)).toEqual([`bullmq:${prefix}:work:${id}`])
    } finally {
      await queue.obliterate({ force: true })
      await queue.close()
    }
  })

  test('--watch shows them again and again, as JSON, as tables and on a terminal', async () => {
    const { trigger } = jobLockNames('sync', jobKey(1))
    const watching = bench().start('jobs', '--watch', '--interval', '100ms', '--json', '--args', '1')
    await watching.printed('{"jobs":[]}\n')
    await solo.jobs.take(jobLockNames('sync', jobKey(2)).trigger, 'other')
    await solo.jobs.take(trigger, 'me')
    await watching.printed('"owner":"me"')
    await solo.jobs.release(trigger, 'me')
    const seen = lines(watching.stdout).length
    await eventually('it is gone', () => lines(watching.stdout).slice(seen).includes('{"jobs":[]}'))
    watching.child.kill('SIGINT')
    const { exitCode, stdout, stderr } = await watching.ended
    expect([exitCode, stderr]).toEqual([130, ''])
    expect(stdout).not.toContain('other')

    const text = bench().start('jobs', 'sync', '--watch', '--interval', '100ms')
    await eventually('two tables', () => text.stdout.split(' other ').length > 2)
    text.child.kill('SIGTERM')
    const [time, title, row] = lines((await text.ended).stdout)
    expect([time, title]).toEqual([expect.stringMatching(/^\d{4}-.*Z$/), expect.stringMatching(/^JOB +KEY/)])
    expect(row).toMatch(/^sync +v1:.* other +queued/)

    const terminal = bench().startOnTerminal('jobs', 'none', '--watch')
    await terminal.printed("no live job's name starts with 'none'")
    terminal.type('q')
    expect((await terminal.ended).exitCode).toBe(0)
  })

  test.each([
    ['--args that are no JSON', ['--args', '{id:1}'], /--args: '\{id:1\}' is not JSON: /],
    ['--args that are no UTF-8', ['--args', '"\ufffd"'], /--args is not valid UTF-8/],
    ['--interval without --watch', ['--interval', '1s'], /--interval is for --watch/],
    ['a name with --args that no job can have', ['x'.repeat(901), '--args', '1'], /a job name must not be longer/],
    ['release with --args', ['release', jobKey(1), '--args', '1', '--yes'], /release takes a KEY/],
    ['release with --watch', ['--watch', 'release', jobKey(1), '--yes'], /release takes a KEY/],
  ])('%s gets one line and exit code 2', async (_, args, message) => {
    const { exitCode, stdout, stderr } = await bench().run('jobs', ...args)
    expect(lines(stderr)).toEqual([expect.stringMatching(message)])
    expect([exitCode, stdout]).toEqual([2, ''])
  })
})

describe('get and unlock of the name of a job', () => {
  test('say which jobs of exactly this name are live, and how to look at them', async () => {
    const keys = [1, 2, 3, 4, 5, 6].map(i => jobKey(i)).sort()
    for (const key of keys) await solo.jobs.take(jobLockNames('sync', key).trigger, 'job-1')
    await solo.jobs.take(jobLockNames('sync:all', jobKey(1)).trigger, 'me')
    await solo.jobs.take(jobLockNames('a job', jobKey(1)).run, 'me', { ttlMs: 60_000 })
    const hint = [
      "soloist: jobs named 'sync' are live; their locks have other names (see soloist jobs sync):",
      ...keys.slice(0, 5).map(key => `soloist:   '${jobLockNames('sync', key).trigger}' (queued)`),
      'soloist:   … and more',
    ]
    const get = await bench().run('get', 'sync')
    expect([get.exitCode, get.stdout]).toEqual([1, "'sync' is free\n"])
    expect(lines(get.stderr)).toEqual(hint)
    const json = await bench().run('get', 'sync', '--json')
    expect([json.exitCode, json.stdout, lines(json.stderr)]).toEqual([1, 'null\n', hint])
    expect((await bench().run('get', 'sync', '--quiet')).stderr).toBe('')
    expect(lines((await bench().run('unlock', 'sync', '--force')).stderr)).toEqual(hint)
    expect(lines((await bench().run('get', 'a job')).stderr)).toEqual([
      "soloist: jobs named 'a job' are live; their locks have other names (see soloist jobs):",
      `soloist:   '${jobLockNames('a job', jobKey(1)).run}' (running)`,
    ])
    expect((await bench().run('get', 'syn')).stderr).toBe('')
    expect((await bench().run('get', jobLockNames('sync', keys[0] as string).trigger)).exitCode).toBe(0)
    // A lock of this very name is what was asked for.
    await solo.lock('sync')
    expect(await bench().run('get', 'sync')).toMatchObject({ exitCode: 0, stderr: '' })
  })

  test('say nothing of it when the name is longer than that of a job', async () => {
    expect(await bench().run('get', 'x'.repeat(1024))).toMatchObject({ exitCode: 1, stderr: '' })
  })
})
