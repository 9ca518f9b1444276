import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const HOST = '127.0.0.1'
/** A cluster node also listens here above its port. */
const BUS_OFFSET = 10_000
/** Both the ports and their bus ports lie below the range from which systems pick ports for outgoing connections. */
const FIRST_PORT = 14_000
const LAST_PORT = 22_000
const READY_MS = 20_000
/** How long a server may take to shut down before it is killed. */
const STOP_MS = 5_000
/** What a server, or a Sentinel, writes to its log once it has its port and its data. */
const HAS_PORT = /Ready to accept connections|Sentinel ID is/

export interface RedisOptions {
  /** Command line options, after the ones of this module: the last one of a kind counts. */
  readonly args?: readonly string[]
  /** More lines for the server's configuration file, such as users and their rights. */
  readonly config?: string
  /** Start a Sentinel, which watches other servers, instead of a server with data. */
  readonly sentinel?: boolean
}

/** A real redis-server of this process alone, without data, persistence or password unless the options say otherwise. */
export interface RedisServer {
  readonly host: string
  readonly port: number
  readonly url: string
  /** The present process; another one after `restart`. */
  readonly pid: number
  /** Shuts it down and removes its files. Safe to call twice. */
  stop(): Promise<void>
  /** SIGKILL; its files stay, so `restart` can follow. */
  kill(): Promise<void>
  /** Shuts it down if it still runs, then starts it again on the same port with the same files. */
  restart(): Promise<void>
}

interface Running {
  readonly server: ChildProcess & { readonly pid: number }
  readonly guard: ChildProcess
  readonly exited: Promise<unknown>
}

/** Starts a redis-server on a free port and waits until it answers. It ends with this process, however that ends. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const dir = await mkdtemp(join(tmpdir(), 'soloist-redis-'))
    try {
      return await serve(port, dir, options, await launch(port, dir, options))
    } catch (error) {
      await rm(dir, { recursive: true, force: true })
      // Somebody else may have taken the port in between; a wrong configuration fails every time.
      if (attempt === 3) throw error
    }
  }
}

/** A port of 127.0.0.1 on which nobody listens at the moment, nor on its cluster bus port. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT)
    const servers = [createServer(), createServer()] as const
    try {
      await listen(servers[0], port)
      await listen(servers[1], port + BUS_OFFSET)
      return port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    } finally {
      for (const server of servers) server.close()
    }
  }
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, HOST)
  await once(server, 'listening')
}

async function serve(port: number, dir: string, options: RedisOptions, first: Running): Promise<RedisServer> {
  let running = first

  async function end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { server, guard, exited } = running
    server.kill(signal)
    const timer = setTimeout(() => server.kill('SIGKILL'), STOP_MS)
    await exited
    clearTimeout(timer)
    guard.kill('SIGKILL')
  }

  return {
    host: HOST,
    port,
    url: `redis://${HOST}:${port}`,
    get pid() {
      return running.server.pid
    },
    async stop() {
      await end('SIGTERM')
      await rm(dir, { recursive: true, force: true })
    },
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM')
      running = await launch(port, dir, options)
    },
  }
}

async function launch(port: number, dir: string, options: RedisOptions): Promise<Running> {
  const configFile = join(dir, 'redis.conf')
  const given = options.args ?? []
  const logFile = given.includes('--logfile') ? String(given[given.indexOf('--logfile') + 1]) : join(dir, 'redis.log')
  const log = async () => await readFile(logFile, 'utf8').catch(() => '')
  const before = (await log()).length
  const settings = [`port ${port}`, `bind ${HOST}`, `dir ${dir}`, `logfile ${logFile}`]
  const ofData = options.sentinel ? [] : ['save ""', 'appendonly no']
  await writeFile(configFile, [...settings, ...ofData, options.config ?? '', ''].join('\n'))

  const args = [configFile, ...(options.sentinel ? ['--sentinel'] : []), ...given]
  const server = spawn('redis-server', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  server.stderr.on('data', chunk => {
    complaint += chunk
  })
  const exited = once(server, 'exit').catch(error => {
    complaint += error.code === 'ENOENT' ? 'redis-server is not installed: run "node scripts/provide-redis.js"' : error
  })
  let gone = server.pid === undefined
  void exited.then(() => {
    gone = true
  })
  try {
    await answers(
      port,
      () => gone,
      // Where another process was given the same port, it is that one's server that answers.
      async () => HAS_PORT.test((await log()).slice(before)),
    )
  } catch (error) {
    server.kill('SIGKILL')
    await exited
    throw new Error(`redis-server did not start: ${complaint}\n${(await log()).slice(-2_000)}`, { cause: error })
  }
  return { server: server as Running['server'], guard: guardOf(server.pid as number, dir), exited }
}

/**
 * Ends the server and removes its files when this process is gone, also after SIGKILL: the guard's standard input is a
 * pipe that only this process holds open.
 */
function guardOf(pid: number, dir: string): ChildProcess {
  const guard = spawn('sh', ['-c', 'read -r _; kill -9 "$1"; rm -rf "$2"', 'redis-guard', `${pid}`, dir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // so that Ctrl-C ends this process first
  })
  guard.unref()
  return guard
}

/** Resolves once the server has its port, and answers PING with anything but "I am still loading". */
async function answers(port: number, gone: () => boolean, hasPort: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (;;) {
    const reply = (await hasPort()) ? await ping(port) : null
    if (reply !== null && !reply.startsWith('-LOADING')) return
    if (gone()) throw new Error('the process ended')
    if (performance.now() > deadline) throw new Error(`no answer within ${READY_MS} ms`)
    await sleep(10)
  }
}

/** The first bytes of the answer, or `null` when there was none. */
function ping(port: number): Promise<string | null> {
  return new Promise(resolve => {
    const socket = connect(port, HOST, () => socket.write('PING\r\n'))
    socket.setTimeout(1_000, () => socket.destroy())
    socket.once('data', data => {
      resolve(String(data))
      socket.destroy()
    })
    // What went wrong does not matter here: the caller asks again until its time is up.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => resolve(null))
  })
}
