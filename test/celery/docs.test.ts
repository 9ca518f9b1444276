import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { CeleryLocks, CeleryResults, CeleryTask } from 'soloist/celery'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startRedis } from '../support/redis-server.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs/adapters/celery.md'), 'utf8')
/** A database of its own, so that nothing here meets the locks of another test. */
const url = `${process.env.SOLOIST_TEST_REDIS}/9`
const examples = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) =>
  String(code).replaceAll('redis://127.0.0.1:6379/0', url),
)

describe('docs/adapters/celery.md', () => {
  // Within the repository, so that the examples find the package by its own name.
  const folder = mkdtempSync(join(root, 'test/celery/.examples-'))
  const files = examples.map((code, i) => {
    const file = join(folder, `example-${i + 1}.ts`)
    writeFileSync(file, code)
    return file
  })
  const redis = new Redis(url)

  beforeAll(async () => {
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', include: [], files }))
    await redis.flushdb()
  })

  afterAll(async () => {
    vi.restoreAllMocks()
    rmSync(folder, { recursive: true })
    await redis.flushdb()
    redis.disconnect()
  })

  test('has examples whose types are right', () => {
    expect(examples.length).toBe(3)
    const tsc = join(root, 'node_modules/.bin/tsc')
    expect(spawnSync(tsc, ['-p', folder], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '' })
  })

  test.each(files)('has an example that prints what it promises: %s', async file => {
    const printed: string[] = []
    vi.spyOn(console, 'log').mockImplementation((...values) => void printed.push(values.map(String).join(' ')))
    await import(file)
    const promised = [...readFileSync(file, 'utf8').matchAll(/^console\.log\(.*\) \/\/ (.*)$/gm)].map(
      ([, text]) => text,
    )
    expect(promised.length).toBe(1)
    expect(printed).toEqual(promised)
  })

  test('publishes what a worker of celery reads', async () => {
    const message = JSON.parse(String(await redis.lindex('celery', 0)))
    expect(await redis.llen('celery')).toBe(1)
    expect(JSON.parse(Buffer.from(message.body, 'base64').toString())).toEqual([
      [17],
      { factor: 2 },
      { callbacks: null, errbacks: null, chain: null, chord: null },
    ])
    expect(await redis.get(message.headers.lock)).toBe(message.headers.id)
  })

  test('lists the rights that are enough', async () => {
    const [, rights = ''] = /^user celery-locks on >password (.*?)^```$/ms.exec(page) ?? []
    const server = await startRedis({ config: `user locks on >s3cret ${rights.replace(/\s+/g, ' ')}` })
    const own = `redis://locks:s3cret@127.0.0.1:${server.port}/2`
    await using locks = new CeleryLocks(own)
    await using results = new CeleryResults(own)
    const task = new CeleryTask(locks, 'tasks.add', { stateOf: results.stateOf, lockExpirySeconds: 100 })
    const { id, lock } = await task.submit([], {}, async () => {})
    expect(await task.submit([], {}, async () => {})).toMatchObject({ status: 'duplicate', id })
    expect(await task.claim(id, lock)).toEqual({ status: 'own' })
    expect(await locks.sweep(results.stateOf)).toBe(0)
    expect(await task.done(id, lock)).toBe(true)
    expect(await locks.lock(lock, 'task-1')).toEqual({ status: 'taken' })
    expect(await locks.lock(lock, 'task-1')).toEqual({ status: 'own' })
    expect(await locks.get(lock)).toBe('task-1')
    expect(await locks.clearLocks()).toBe(1)
    await server.stop()
  })
})
