import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const HOST = '127.0.0.1'
const READY_MS = 10_000
const TRIES = 3

/** @typedef {{ host: string, port: number }} Address */
/**
 * @typedef {object} Server
 * @property {Address} address
 * @property {Promise<never>} failed rejects when it ends before it was stopped
 * @property {() => Promise<void>} stop
 */

/** Starts a redis-server of this process alone, on a free port. It ends with this process, however that ends. @returns {Promise<Server>} */
export async function startRedis() {
  for (let tries = 1; ; tries += 1) {
    const port = await freePort()
    const folder = mkdtempSync(join(tmpdir(), 'soloist-webhooks-'))
    const args = ['--port', String(port), '--bind', HOST, '--dir', folder, '--save', '', '--appendonly', 'no']
    // Ctrl-C is for the service, which needs Redis to end in order.
    const server = spawn('redis-server', args, { stdio: 'ignore', detached: true })
    const ended = once(server, 'exit').catch(error => error)
    let up = false
    try {
      up = await Promise.race([answers(port), ended.then(() => false)])
    } finally {
      if (!up) {
        server.kill('SIGKILL')
        await ended
        rmSync(folder, { recursive: true, force: true })
      }
    }
    if (server.pid === undefined)
      throw new Error('redis-server cannot be started; "node scripts/provide-redis.js" says more')
    // Somebody may have taken the port meanwhile.
    if (!up && tries === TRIES) throw new Error('redis-server did not start')
    if (!up) continue
    const guard = guardOf(server.pid, folder)
    let stopping = false
    /** @type {Promise<never>} */
    const failed = ended.then(() =>
      stopping ? new Promise(() => {}) : Promise.reject(new Error('redis-server ended')),
    )
    // It is raced against what is awaited; between two awaits nobody looks.
    failed.catch(() => {})
    const stop = async () => {
      stopping = true
      server.kill('SIGTERM')
      await ended
      guard.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    }
    return { address: { host: HOST, port }, failed, stop }
  }
}

/** Its standard input is a pipe that only this process holds open. @param {number} pid @param {string} folder */
function guardOf(pid, folder) {
  const guard = spawn('sh', ['-c', 'read -r _; kill -9 "$1"; rm -rf "$2"', 'redis-guard', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Ctrl-C is for this process, which ends the guard.
    detached: true,
  })
  guard.unref()
  return guard
}

async function freePort() {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/** @param {number} port */
async function answers(port) {
  const client = new Redis({ host: HOST, port, retryStrategy: () => 20, maxRetriesPerRequest: null })
  // It is not there yet.
  client.on('error', () => {})
  try {
    return await Promise.race([client.ping().then(() => true), sleep(READY_MS, false, { ref: false })])
  } finally {
    client.disconnect()
  }
}
