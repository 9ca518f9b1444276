import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { postgresFolder } from '../scripts/provide-postgres.js'

/** Who runs the server, which refuses to run as root. */
function ids() {
  if (process.getuid?.() !== 0) return {}
  const id = (/** @type {string} */ flag) => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}

/** A Postgres of this run alone, on a free port, with the settings it has by default: every commit reaches the disk. */
export async function startPostgres() {
  const folder = String(postgresFolder())
  const who = ids()
  const dir = mkdtempSync(join(tmpdir(), 'soloist-bench-pg-'))
  if (who.uid !== undefined) chownSync(dir, who.uid, who.gid)
  const initdb = ['-D', join(dir, 'data'), '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8']
  const made = spawnSync(join(folder, 'initdb'), initdb, { ...who, cwd: dir, encoding: 'utf8' })
  if (made.status !== 0) throw new Error(made.stderr)
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address())
  probe.close()
  const args = ['-D', join(dir, 'data'), '-p', String(port), '-k', dir, '-c', 'listen_addresses=127.0.0.1']
  const server = spawn(join(folder, 'postgres'), args, { ...who, cwd: dir, stdio: 'ignore' })
  process.once('exit', () => server.kill('SIGQUIT'))
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  for (let attempt = 0; ; attempt += 1) {
    const client = new pg.Client(url)
    client.on('error', () => {})
    try {
      await client.connect()
      const { rows } = await client.query('SHOW server_version')
      await client.end()
      return { url, version: String(rows[0].server_version), stop: () => stop(server, dir) }
    } catch (error) {
      if (attempt > 200) throw error
      await sleep(50)
    }
  }
}

/** @param {import('node:child_process').ChildProcess} server @param {string} dir */
async function stop(server, dir) {
  server.kill('SIGINT')
  await once(server, 'exit')
  rmSync(dir, { recursive: true, force: true })
}
