import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { until } from '../bullmq/support.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const example = /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(root, 'docs/adapters/bullmq.md'), 'utf8'))?.[1] as string

describe('docs/adapters/bullmq.md', () => {
  // Within the repository, so that it finds the package by its own name.
  const folder = mkdtempSync(join(root, 'test/unit/.examples-'))
  const file = join(folder, 'example.ts')
  let server: RedisServer

  beforeAll(async () => {
    server = await startRedis()
    writeFileSync(file, `${example.replace('6379', String(server.port))}\nexport { queue, worker }\n`)
    const tsconfig = { extends: '../../tsconfig.json', include: [], files: ['example.ts'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
  })
  afterAll(async () => {
    vi.restoreAllMocks()
    rmSync(folder, { recursive: true })
    await server.stop()
  })

  test('has an example whose types are right', () => {
    const tsc = join(root, 'node_modules/.bin/tsc')
    expect(spawnSync(tsc, ['-p', folder], { encoding: 'utf8' })).toMatchObject({ status: 0, stdout: '' })
  })

  test('has an example that prints what it promises', async () => {
    const printed: string[] = []
    vi.spyOn(console, 'log').mockImplementation((...values) => void printed.push(values.map(String).join(' ')))
    const { queue, worker } = (await import(file)) as { queue: SingletonQueue; worker: SingletonWorker }
    const promised = [...example.matchAll(/^ *console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => text)
    expect(promised).toHaveLength(3)
    await until(() => printed.length === promised.length)
    expect(printed).toEqual(promised)
    await worker.close()
    await queue.close()
  })
})
