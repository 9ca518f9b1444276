import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { pgbouncerProgram, postgresFolder } from '../../scripts/provide-postgres.js'
import { freePort } from './redis-server.js'

const run = promisify(execFile)
const HOST = '127.0.0.1'
const READY_MS = 30_000
/** Writes reach no disk: for tests that do not crash the server. */
const FAST = { fsync: 'off', full_page_writes: 'off' }
const SETTINGS = {
  listen_addresses: HOST,
  max_connections: '300',
  shared_buffers: '64MB',
  autovacuum_naptime: '5s',
  logging_collector: 'off',
}

export interface PostgresOptions {
  /** Whether what was committed survives a crash of the server; default: it does not. */
  readonly durable?: boolean
  /** More settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  /** The files of a certificate and its key: the server takes connections with TLS, beside those without. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** A copy of this server, which follows it. */
  readonly standbyOf?: PostgresServer
}

/** A real server of this process alone, with a superuser `postgres` that needs no password. */
export interface PostgresServer {
  readonly host: string
  readonly port: number
  readonly url: string
  /** The folder of its Unix socket. */
  readonly socketFolder: string
  /** Stops it, so that `start` can follow. `immediate`: as a crash would. */
  halt(mode: 'fast' | 'immediate'): Promise<void>
  /** One statement on a connection of its own. */
  query(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]>
  /** Starts it again on the same port with the same files. */
  start(): Promise<void>
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

interface Ids {
  readonly uid?: number
  readonly gid?: number
}

/** Starts a server on a free port. It ends with this process, however that ends. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const folder = postgresFolder()
  if (folder === null) throw new Error('PostgreSQL is not installed: run "node scripts/provide-postgres.js"')
  const ids = await whoRuns()
  const dir = await mkdtemp(join(tmpdir(), 'soloist-pg-'))
  if (ids.uid !== undefined) await chown(dir, ids.uid, ids.gid as number)
  const data = join(dir, 'data')
  const { standbyOf: source } = options
  const copy = ['-D', data, '-d', String(source?.url), '--write-recovery-conf', '--checkpoint=fast', '--no-sync']
  const initdb = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync']
  const [program, args] = source === undefined ? ['initdb', initdb] : ['pg_basebackup', copy]
  await run(join(folder, program), args, { ...ids, cwd: dir })
  const tls = options.tls === undefined ? {} : await tlsSettings(options.tls, dir, ids)
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const settings = { ...SETTINGS, ...(options.durable ? {} : FAST), ...tls, ...options.settings, port: String(port) }
    const all = Object.entries({ ...settings, unix_socket_directories: dir })
    const serverArgs = ['-D', data, ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`])]
    const launch = () => launchServer(join(folder, 'postgres'), serverArgs, port, dir, ids)
    try {
      return serve(port, dir, await launch(), launch)
    } catch (error) {
      // Somebody else may have taken the port in between.
      if (attempt < 3) continue
      await rm(dir, { recursive: true, force: true })
      throw error
    }
  }
}

/** The server takes a key only from a file that is its own, and that nobody else can read. */
async function tlsSettings(
  files: { readonly cert: string; readonly key: string },
  dir: string,
  ids: Ids,
): Promise<Readonly<Record<string, string>>> {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
  await copyFile(files.cert, cert)
  await copyFile(files.key, key)
  await chmod(key, 0o600)
  if (ids.uid !== undefined) for (const file of [cert, key]) await chown(file, ids.uid, ids.gid as number)
  return { ssl: 'on', ssl_cert_file: cert, ssl_key_file: key }
}

/** A PgBouncer in transaction mode before a server. */
export interface PgBouncer {
  readonly url: string
  stop(): Promise<void>
}

export async function startPgBouncer(server: PostgresServer): Promise<PgBouncer> {
  const ids = await whoRuns()
  const dir = await mkdtemp(join(tmpdir(), 'soloist-pgbouncer-'))
  const port = await freePort()
  const ini = join(dir, 'pgbouncer.ini')
  const lines = [
    '[databases]',
    `* = host=${server.host} port=${server.port} user=postgres`,
    '[pgbouncer]',
    `listen_addr = ${HOST}`,
    `listen_port = ${port}`,
    'auth_type = any',
    'pool_mode = transaction',
    'default_pool_size = 20',
    'max_client_conn = 1000',
    'unix_socket_dir =',
    'ignore_startup_parameters = extra_float_digits',
  ]
  await writeFile(ini, `${lines.join('\n')}\n`)
  if (ids.uid !== undefined) for (const path of [dir, ini]) await chown(path, ids.uid, ids.gid as number)
  const running = await launchProcess(pgbouncerProgram(), ['-q', ini], dir, ids, 'TERM')
  const url = `postgres://postgres@${HOST}:${port}/postgres`
  await answers(url, running)
  return {
    url,
    async stop() {
      await end(running, 'SIGTERM')
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Postgres refuses to run as root. */
async function whoRuns(): Promise<Ids> {
  if (process.getuid?.() !== 0) return {}
  for (const user of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all(
        ['-u', '-g'].map(async flag => Number((await run('id', [flag, user])).stdout)),
      )
      if (uid !== undefined && gid !== undefined) return { uid, gid }
    } catch {
      // There is no such user here: the next one.
    }
  }
  throw new Error('Postgres does not run as root, and there is no user "postgres" or "nobody"')
}

interface Running {
  readonly server: ChildProcess & { readonly pid: number }
  readonly guard: ChildProcess
  readonly exited: Promise<unknown>
  readonly isGone: () => boolean
  readonly complaint: () => string
}

async function launchServer(program: string, args: string[], port: number, dir: string, ids: Ids): Promise<Running> {
  const running = await launchProcess(program, args, dir, ids, 'QUIT')
  try {
    await answers(urlOf(port), running)
  } catch (error) {
    await end(running, 'SIGQUIT')
    throw error
  }
  return running
}

async function launchProcess(program: string, args: string[], dir: string, ids: Ids, signal: string): Promise<Running> {
  const server = spawn(program, args, { ...ids, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  server.stderr.on('data', chunk => {
    complaint = `${complaint}${chunk}`.slice(-4_000)
  })
  let gone = false
  const exited = once(server, 'exit').catch(error => {
    complaint += String(error)
  })
  void exited.then(() => {
    gone = true
  })
  // Ends the server when this process is gone, also after SIGKILL: only this process holds the other end of its input.
  const guard = spawn(
    'sh',
    ['-c', 'read -r _; kill -s "$1" "$2"; sleep 1; rm -rf "$3"', 'guard', signal, `${server.pid}`, dir],
    {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    },
  )
  guard.unref()
  return { server: server as Running['server'], guard, exited, isGone: () => gone, complaint: () => complaint }
}

function serve(port: number, dir: string, first: Running, launch: () => Promise<Running>): PostgresServer {
  let running = first
  return {
    host: HOST,
    port,
    url: urlOf(port),
    socketFolder: dir,
    halt: mode => end(running, mode === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    async start() {
      running = await launch()
    },
    async query(sql) {
      const client = new pg.Client(urlOf(port))
      await client.connect()
      try {
        return (await client.query(sql)).rows
      } finally {
        await client.end()
      }
    },
    async stop() {
      await end(running, 'SIGQUIT')
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function urlOf(port: number): string {
  return `postgres://postgres@${HOST}:${port}/postgres`
}

async function end({ server, guard, exited }: Running, signal: NodeJS.Signals): Promise<void> {
  server.kill(signal)
  await exited
  guard.kill('SIGKILL')
}

async function answers(url: string, running: Running): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
    // A connection that ends while the server starts says so twice.
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query('SELECT 1')
      return
    } catch (error) {
      if (running.isGone() || performance.now() > deadline) {
        throw new Error(`${running.server.spawnfile} did not start: ${running.complaint()}`, { cause: error })
      }
      await sleep(20)
    } finally {
      await client.end().catch(() => {})
    }
  }
}
