import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { postgresFolder } from '../../scripts/provide-postgres.js'

const HOST = '127.0.0.1'
const READY_MS = 20_000

/** @typedef {{ url: string, stop: () => Promise<void> }} Server */

/** Starts a Postgres of this process alone, on a free port. It ends with this process, however that ends. @returns {Promise<Server>} */
export async function startPostgres() {
  const folder = postgresFolder()
  if (folder === null) throw new Error('there is no PostgreSQL; "node scripts/provide-postgres.js" says more')
  const who = whoRuns()
  const dir = mkdtempSync(join(tmpdir(), 'soloist-outbox-'))
  if (who.uid !== undefined) chownSync(dir, who.uid, Number(who.gid))
  const data = join(dir, 'data')
  const initdb = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync']
  const made = spawnSync(join(folder, 'initdb'), initdb, { ...who, cwd: dir, encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`)
  const port = await freePort()
  const args = ['-D', data, '-p', String(port), '-k', dir, '-c', `listen_addresses=${HOST}`, '-c', 'fsync=off']
  // Ctrl-C is for the service, which needs the server to end in order.
  const server = spawn(join(folder, 'postgres'), args, { ...who, cwd: dir, stdio: 'ignore', detached: true })
  const ended = once(server, 'exit')
  const guard = guardOf(Number(server.pid), dir)
  const stop = async () => {
    server.kill('SIGQUIT')
    await ended
    guard.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
  const url = `postgres://postgres@${HOST}:${port}/postgres`
  try {
    await Promise.race([answers(url), ended.then(() => Promise.reject(new Error('the server ended at once')))])
  } catch (error) {
    await stop()
    throw error
  }
  return { url, stop }
}

/** Postgres refuses to run as root. @returns {{ uid?: number, gid?: number }} */
function whoRuns() {
  if (process.getuid?.() !== 0) return {}
  const id = (/** @type {string} */ flag) => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}

/** Its standard input is a pipe that only this process holds open. @param {number} pid @param {string} dir */
function guardOf(pid, dir) {
  const lines = 'read -r _; kill -s QUIT "$1"; sleep 1; rm -rf "$2"'
  const guard = spawn('sh', ['-c', lines, 'postgres-guard', String(pid), dir], {
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

/** @param {string} url */
async function answers(url) {
  for (const deadline = performance.now() + READY_MS; ; await sleep(50)) {
    const client = new pg.Client(url)
    // A connection that ends while the server starts says so twice.
    client.on('error', () => {})
    try {
      await client.connect()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
    } finally {
      await client.end()
    }
  }
}
