import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'soloist'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Child } from '../support/child.js'
import { freePort, type RedisServer, startRedis } from '../support/redis-server.js'
import { Site } from './support/expected.js'
import { Project } from './support/project.js'

const CLOCK = join(import.meta.dirname, '../cron/children/shifted-clock.cjs')
const root = join(import.meta.dirname, '../..')

describe('Nest 12, as ES modules', () => {
  let project: Project

  beforeAll(() => {
    project = new Project('nest')
  })

  afterAll(() => project?.[Symbol.asyncDispose]())

  it('@nestjs/bullmq makes its queues, workers and flow producers of our classes', async () => {
    await using site = await Site.open()
    expect(await project.ask(process.execPath, ['main.mjs'], site.env)).toEqual({
      classes: [true, true, true],
      statuses: ['duplicate', 'started'],
      same: true,
      result: { live: true, value: 'synced 7' },
      flow: 'started',
      runs: [expect.stringMatching(/webhook|user/), 'flow'],
    })
  })

  it('decorated methods run under locks, once per tick and as jobs', async () => {
    await using site = await Site.open()
    await project.run(project.bin('tsc'), ['-p', '.'])
    const told = await project.ask<{ ticks: string[] }>(process.execPath, ['dist/main.js'], site.env)
    expect(told).toEqual({
      paid: Array(3).fill({ id: '7', alone: true, lock: 'order:7' }),
      items: [
        [200, 'item:number:7'],
        [403, null],
      ],
      guarded: [],
      skipped: [null, 'ran'],
      trigger: 'started',
      synced: ['synced 7', 'synced 7'],
      runs: 1,
      ticks: expect.any(Array),
      last: 'ran',
      closed: 'CLOSED',
    })
    expectEverySecond(told.ticks.map(tick => /^Reports\.send (\S+) false$/.exec(tick)?.[1]))
  })
})

describe('Nest 11, as `nest new` makes it', () => {
  let redis: RedisServer
  let project: Project
  const instances: Child[] = []

  beforeAll(async () => {
    redis = await startRedis()
    project = new Project('nest', { example: true })
    await project.run('npm', ['run', 'build'])
  })

  afterAll(async () => {
    await project?.[Symbol.asyncDispose]()
    await redis?.stop()
  })

  it('passes its own tests', async () => {
    const { stderr } = await project.run('npm', ['test'])
    expect(stderr).toContain('Tests:       3 passed, 3 total')
    expect(stderr).not.toMatch(/did not exit|warn/i)
  })

  it('passes its own tests from end to end', async () => {
    const { stderr } = await project.run('npm', ['run', 'test:e2e'], { REDIS_URL: redis.url })
    expect(stderr).toContain('Tests:       3 passed, 3 total')
    expect(stderr).not.toMatch(/did not exit|warn/i)
  })

  it('serves, as two instances whose clocks are 850 ms apart', async () => {
    const ports = [await freePort(), await freePort()]
    for (const [i, port] of ports.entries()) {
      const clock = { NODE_OPTIONS: `--require ${CLOCK}`, CLOCK_OFFSET_MS: `${i * 850}` }
      const env = { PORT: `${port}`, REDIS_URL: redis.url, ...clock }
      instances.push(project.start('npm', ['run', 'start:prod'], env))
    }
    await Promise.all(instances.map(printed => until(printed, /successfully started/)))
    const ask = async (instance: 0 | 1, method: string, path: string) => {
      const response = await fetch(`http://127.0.0.1:${ports[instance]}${path}`, { method })
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    }
    await using solo = connect(redis.url)

    const lease = await solo.lock('order:7')
    expect(await ask(0, 'POST', '/orders/7/pay')).toMatchObject({ status: 409, body: { message: 'order:7 is busy' } })
    const waiting = ask(1, 'POST', '/orders/7/pay')
    await expect.poll(async () => (await solo.inspect('order:7'))?.waiting).toBe(1)
    await lease.release()
    const { status, body } = await waiting
    expect([status, body.paid, Number(body.fence) > lease.fence]).toEqual([201, 'now', true])

    const [one, two] = await Promise.all([ask(0, 'GET', '/rates/usd'), ask(1, 'GET', '/rates/usd')])
    expect(one).toEqual(two)
    expect((await ask(0, 'GET', '/rates/usd/status')).body.status).toBe('started')

    const [first, second] = await Promise.all([ask(0, 'POST', '/accounts/7/sync'), ask(1, 'POST', '/accounts/7/sync')])
    expect([first, second].map(({ body }) => body.status).sort()).toEqual(['duplicate', 'started'])
    expect(first.body.id).toBe(second.body.id)
    await expect.poll(() => all(/account 7 is synced by job (\S+)/g), { timeout: 30_000 }).toEqual([first.body.id])
    await expect.poll(() => all(/the report of (\S+) is sent/g).length, { timeout: 60_000 }).toBeGreaterThan(4)
  })

  it('one ends, the other takes over its ticks and ends, and nothing is left', async () => {
    await using solo = connect(redis.url)
    const [behind, ahead] = instances as [Child, Child]
    const reports = (child: Child) => [...child.stdout.matchAll(/the report of/g)].length
    await endBy(ahead, 'SIGTERM')
    const before = reports(behind)
    await expect.poll(() => reports(behind), { timeout: 60_000 }).toBeGreaterThan(before + 2)
    await endBy(behind, 'SIGTERM')
    const left: string[] = []
    for await (const { name } of solo.list()) left.push(name)
    // What is known of the cron job, and its ticks, stay.
    expect(left.filter(name => !/^(tick|cron):report/.test(name))).toEqual([])
    expectEverySecond(all(/the report of (\S+) is sent/g))
    for (const { stdout, stderr } of instances) expect(stdout + stderr).not.toMatch(/ERROR|WARN/)
  })

  /** What all instances printed that is like that. */
  const all = (like: RegExp) => instances.flatMap(({ stdout }) => [...stdout.matchAll(like)].map(([, text]) => text))
})

describe('docs/nest.md', () => {
  const page = readFileSync(join(root, 'docs/nest.md'), 'utf8')
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({ language, text }))
  const projects = [join(root, 'examples/nest'), join(root, 'test/consumers/projects/nest')]
  const sources = projects.flatMap(folder =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter(file => /^(src|test)\/.*\.ts$/.test(file))
      .map(file => ({ file, text: readFileSync(join(folder, file), 'utf8') })),
  )

  it.each(blocks.filter(({ language }) => language === 'ts'))(
    'shows code that a project has: $text',
    ({ text = '' }) => {
      const named = /^\/\/ (\S+\.ts)\n([\s\S]*)$/.exec(text)
      if (named === null) expect(sources.some(source => source.text.includes(text))).toBe(true)
      else expect(named[2]).toBe(sources.find(({ file }) => file === named[1])?.text)
    },
  )

  it('has no other code than that and what installs it', () => {
    const others = blocks.filter(({ language }) => language !== 'ts')
    for (const { language, text } of others) expect([language, text]).toEqual(['sh', expect.stringMatching(/^npm /)])
  })
})

/** @param ticks in any order; they are the seconds from the first to the last, each once */
function expectEverySecond(ticks: readonly (string | undefined)[]): void {
  const times = ticks.map(tick => Date.parse(String(tick))).sort((a, b) => a - b)
  expect(times.length).toBeGreaterThan(2)
  expect(times).toEqual(times.map((_, i) => Number(times[0]) + i * 1_000))
}

async function endBy(child: Child, signal: NodeJS.Signals): Promise<void> {
  child.end(signal)
  await child.ended
}

/** Waits until a process has printed something like that. */
async function until(child: Child, like: RegExp): Promise<void> {
  const ended = child.ended.then(() => {
    throw new Error(`it ended:\n${child.stdout}${child.stderr}`)
  })
  await Promise.race([expect.poll(() => child.stdout, { timeout: 60_000 }).toMatch(like), ended])
}
