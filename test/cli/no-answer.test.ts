import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Bench, finished, lines } from './support.js'

const url = 'redis://user:secret@127.0.0.1:1'
const RUN = ['run', 'job', '--', 'touch', 'started']
/** Shorter than an outage that a wait in the queue survives, and longer than a slow machine takes. */
const SOON_MS = 25_000

// Each of them waits for the client of the store to give up.
describe.concurrent('a store that does not answer is exit code 69, one line with the cause, and soon over', () => {
  test.each([[RUN], [[...RUN.slice(0, 2), '--wait', '1h', ...RUN.slice(2)]], [['ls']], [['watch']], [['get', 'job']]])(
    '%j',
    async args => {
      await using bench = new Bench()
      const startedAt = performance.now()
      const { exitCode, stdout, stderr } = await finished(bench.startIn({ SOLOIST_URL: url }, args))
      expect(lines(stderr)).toEqual([
        expect.stringMatching(/^soloist: the redis backend failed \(\w+\): connect ECONNREFUSED 127\.0\.0\.1:1$/),
      ])
      expect(stderr).not.toContain('secret')
      expect([exitCode, stdout]).toEqual([69, ''])
      expect(performance.now() - startedAt).toBeLessThan(SOON_MS)
    },
  )

  test('as JSON', async () => {
    await using bench = new Bench()
    const { exitCode, stdout, stderr } = await bench.run('run', 'job', '--json', '--store', url, '--', 'true')
    expect([exitCode, stdout]).toEqual([69, ''])
    expect(JSON.parse(stderr)).toMatchObject({ event: 'failed', name: 'job', code: 'BACKEND_UNAVAILABLE' })
  })

  test('a signal ends the run that still asks for it, with no claim left to take back', async () => {
    await using bench = new Bench()
    await using silent = await SilentServer.open()
    const running = bench.start('run', 'job', '--store', silent.url, '--', 'true')
    await silent.called
    // Those that came with it are known a turn later.
    await turn()
    const before = silent.connections
    running.child.kill('SIGTERM')
    const { exitCode, stderr } = await running.ended
    expect(exitCode).toBe(143)
    expect(lines(stderr)).toEqual([expect.stringContaining("SIGTERM ended the wait for 'job'")])
    // Who waits for the answer takes the connection for silent before the call is given up, and opens another.
    expect(silent.connections).toBe(before)
  })

  test.each<[string, NodeJS.ProcessEnv, RegExp]>([
    ['the default store', {}, /Cannot find module '[^']*'; another store can be given by --store or SOLOIST_URL$/],
    ['a store that was named', { SOLOIST_URL: 'sqlite:locks.db' }, /: Cannot find module '[^']*'$/],
  ])('%s on a Node.js without node:sqlite and libsql, without the stack of modules', async (_, env, message) => {
    await using bench = new Bench()
    const hidden = join(bench.folder, 'hidden.cjs')
    writeFileSync(
      hidden,
      `const Module = require('node:module')
      const { getBuiltinModule } = process
      process.getBuiltinModule = name => (name === 'node:sqlite' ? undefined : getBuiltinModule(name))
      const find = Module._resolveFilename
      Module._resolveFilename = (name, ...rest) => find(name === 'libsql' ? 'libsql-that-is-not-there' : name, ...rest)`,
    )
    for (const args of [['ls'], RUN]) {
      const { exitCode, stdout, stderr } = await finished(
        bench.startIn({ ...env, NODE_OPTIONS: `--require=${hidden}` }, args),
      )
      expect(lines(stderr)).toEqual([expect.stringMatching(message)])
      expect(stderr).toContain('npm install libsql')
      expect([exitCode, stdout]).toEqual([69, ''])
    }
  })

  test('an SQLite file in a folder that is none', async () => {
    await using bench = new Bench()
    const file = join(bench.folder, 'file')
    writeFileSync(file, '')
    const { exitCode, stderr } = await finished(bench.startIn({ SOLOIST_URL: `sqlite:${file}/locks.db` }, RUN))
    expect(lines(stderr)).toHaveLength(1)
    expect(exitCode).toBe(69)
  })
})

/** Takes connections and says nothing. */
class SilentServer implements AsyncDisposable {
  /** Resolves once something was sent to it. */
  readonly called: Promise<unknown>
  readonly #server: Server
  readonly #sockets: Socket[] = []

  private constructor(server: Server) {
    this.#server = server
    this.called = new Promise(resolve => {
      server.on('connection', socket => {
        this.#sockets.push(socket)
        // Its peer may be gone without a farewell.
        socket.on('error', resolve).once('data', resolve)
      })
    })
  }

  static async open(): Promise<SilentServer> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new SilentServer(server)
  }

  /** How many were opened so far. */
  get connections(): number {
    return this.#sockets.length
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
