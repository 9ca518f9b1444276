import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { CeleryLocks, CeleryResults, CeleryTask } from 'soloist/celery'
import { describe, expect, test } from 'vitest'
import { blocksOf, isProgram, ROOT } from '../docs/pages.js'
import { Project, withServers } from '../docs/project.js'
import { startRedis } from '../support/redis-server.js'

const PAGE = 'docs/adapters/celery.md'
const page = readFileSync(join(ROOT, PAGE), 'utf8')

/** What the page promises beyond what its programs print. */
describe(PAGE, () => {
  test('publishes what a worker of celery reads', async () => {
    const server = await startRedis()
    const servers = { redisPort: server.port }
    using project = new Project(servers)
    project.add('first.ts', withServers(blocksOf(PAGE).find(isProgram)?.text ?? '', servers))
    expect(await project.compile()).toEqual([])
    expect(await project.program('first.ts')).toMatchObject({ end: 0, stderr: '' })
    const redis = new Redis(server.url)
    const message = JSON.parse(String(await redis.lindex('celery', 0)))
    expect(await redis.llen('celery')).toBe(1)
    expect(JSON.parse(Buffer.from(message.body, 'base64').toString())).toEqual([
      [17],
      { factor: 2 },
      { callbacks: null, errbacks: null, chain: null, chord: null },
    ])
    expect(await redis.get(message.headers.lock)).toBe(message.headers.id)
    redis.disconnect()
    await server.stop()
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
