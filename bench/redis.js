import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** A redis-server of this run alone, on a free port, without persistence. */
export async function startRedis() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address())
  probe.close()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = spawn('redis-server', args, { stdio: 'ignore' })
  process.once('exit', () => server.kill('SIGKILL'))
  const url = `redis://127.0.0.1:${port}`
  const admin = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
  // Until it listens, every attempt to reach it fails.
  admin.on('error', () => {})
  const version = String(/redis_version:(\S+)/.exec(await admin.info('server'))?.[1])
  return {
    url,
    version,
    flush: () => admin.flushall(),
    /** The CPU time the server has used, in microseconds. */
    async cpuUs() {
      const used = [...(await admin.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)]
      return used.reduce((sum, [, seconds]) => sum + Number(seconds) * 1_000_000, 0)
    },
    /**
     * Starts to look on while nobody sends anything: ioredis takes lines that arrive with the answer to MONITOR for answers.
     * What scripts run inside the server does not count.
     */
    async watch() {
      const monitor = await admin.monitor()
      let count = 0
      monitor.on('monitor', (_time, _args, source) => {
        if (source !== 'lua') count += 1
      })
      return {
        /** How many commands clients send within `ms`. @param {number} ms */
        async commandsWithin(ms) {
          const before = count
          await sleep(ms)
          return count - before
        },
        stop: () => monitor.disconnect(),
      }
    },
    stop() {
      admin.disconnect()
      server.kill('SIGTERM')
    },
  }
}
