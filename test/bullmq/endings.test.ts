import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { startRedis } from '../support/redis-server.js'
import { redisUrl } from './support.js'

const child = (name: string) => fileURLToPath(new URL(`children/${name}.js`, import.meta.url))

describe('a process ends by itself once its queue and its worker are closed', () => {
  test.each(['own', 'shared'])('with SingletonAdder and SingletonProcessor, by %s connections', async connections => {
    const args = [child('wrapped'), new URL(redisUrl).port, connections]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 50_000 })
    expect(stdout).toBe('started\nclosed\n')
  })

  test.each(['SingletonFlowProducer', 'SingletonQueue'])('with a %s, and no server', async what => {
    const server = await startRedis()
    const running = spawn(process.execPath, [child('gone'), String(server.port), what], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const exited = once(running, 'exit')
      const said: string[] = []
      for await (const line of createInterface({ input: running.stdout })) {
        said.push(line)
        if (line === 'made') await server.kill()
      }
      expect(await exited).toEqual([0, null])
      expect(said).toEqual(['made', 'closed failed'])
    } finally {
      running.kill('SIGKILL')
      await server.stop()
    }
  })
})

describe.concurrent('a process lives on when its server goes and comes back, though nobody listens to errors', () => {
  test.each(['SingletonFlowProducer', 'SingletonQueue', 'SingletonWorker', 'SingletonAdder', 'SingletonProcessor'])(
    'with a %s',
    async what => {
      const server = await startRedis()
      const running = spawn(process.execPath, [child('hiccup'), String(server.port), what], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      try {
        let errors = ''
        running.stderr.on('data', data => {
          errors += String(data)
        })
        const exited = once(running, 'exit')
        const said: string[] = []
        for await (const line of createInterface({ input: running.stdout })) {
          said.push(line)
          if (line === 'made') await server.kill()
          if (line === 'gone') await server.restart()
        }
        expect(await exited, errors).toEqual([0, null])
        expect(said).toEqual(['made', 'gone', 'used'])
      } finally {
        running.kill('SIGKILL')
        await server.stop()
      }
    },
  )
})
