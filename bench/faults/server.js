// A redis-server that writes its log at once, so that a restart loses nothing.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const READY_MS = 20_000

/** As the program tells it. @returns {string} */
export function serverVersion() {
  const { stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
  return /v=(\S+)/.exec(stdout)?.[1] ?? 'unknown'
}

export async function startServer() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address())
  probe.close()
  const dir = mkdtempSync(join(tmpdir(), 'soloist-bench-faults-'))
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '']
  const log = ['--appendonly', 'yes', '--appendfsync', 'always']
  const launch = () => spawn('redis-server', [...args, ...log], { stdio: 'ignore' })
  let server = launch()
  const kill = () => server.kill('SIGKILL')
  process.once('exit', kill)
  await answers(port)
  return {
    port,
    /** SIGKILL, and after so long it is started again with what it had. @param {number} downMs */
    async restart(downMs) {
      const exited = once(server, 'exit')
      kill()
      await exited
      await sleep(downMs)
      server = launch()
      await answers(port)
    },
    /** For so long it takes no writes, as a primary that was demoted; its data stays. @param {number} forMs */
    async readonly(forMs) {
      const admin = new Redis(port, { maxRetriesPerRequest: null, retryStrategy: () => 20 })
      // It may be down just now, and is asked when it is back.
      admin.on('error', () => {})
      // Nobody listens at this port of its own primary.
      await admin.replicaof('127.0.0.1', 1)
      await sleep(forMs)
      await admin.replicaof('NO', 'ONE')
      admin.disconnect()
    },
    async stop() {
      process.off('exit', kill)
      const exited = once(server, 'exit')
      kill()
      await exited
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Resolves when it answers a PING. @param {number} port */
async function answers(port) {
  const deadline = performance.now() + READY_MS
  for (;;) {
    const reply = await new Promise(resolve => {
      const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
      socket.once('data', data => {
        resolve(String(data))
        socket.destroy()
      })
      // It does not listen yet: asked again.
      socket.on('error', () => socket.destroy())
      socket.on('close', () => resolve(''))
    })
    if (String(reply).startsWith('+PONG')) return
    if (performance.now() > deadline) throw new Error(`redis-server gave no answer within ${READY_MS} ms`)
    await sleep(10)
  }
}
