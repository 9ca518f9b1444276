import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, type LockState, type Soloist } from 'soloist'
import { afterEach, beforeEach } from 'vitest'

/** The command as it is installed. */
export const SOLOIST: string = fileURLToPath(new URL('../../bin/soloist', import.meta.url))

export interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A process under test in a session of its own, and what it has written so far. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  readonly out: Buffer[] = []
  readonly err: Buffer[] = []

  constructor(command: readonly string[], env: NodeJS.ProcessEnv) {
    const [file = '', ...args] = command
    this.child = spawn(file, args, { env, stdio: 'pipe', detached: true })
    this.child.stdout?.on('data', chunk => this.out.push(chunk))
    this.child.stderr?.on('data', chunk => this.err.push(chunk))
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', exitCode => resolve({ exitCode, stdout: this.stdout, stderr: this.stderr }))
    })
  }

  get pid(): number {
    return this.child.pid as number
  }

  get stdout(): string {
    return Buffer.concat(this.out).toString()
  }

  get stderr(): string {
    return Buffer.concat(this.err).toString()
  }

  /** Writes to its stdin. */
  type(text: string): void {
    this.child.stdin?.write(text)
  }

  /** Ends its stdin. */
  endInput(): void {
    this.child.stdin?.end()
  }

  /** Ends it, and whatever it has started. */
  kill(): void {
    this.endInput()
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch (error) {
      // All of them have ended already.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** Resolves once it has printed this to stdout. */
  async printed(text: string): Promise<void> {
    await eventually(`output ${JSON.stringify(text)}`, () => this.stdout.includes(text))
  }
}

/** The command on a store and a home of its own, which every test gets anew. */
export class Bench implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'soloist-cli-'))
  readonly store: string = `sqlite:${join(this.folder, 'locks.db')}`
  readonly #running: Running[] = []
  #solo: Soloist | null = null

  get env(): NodeJS.ProcessEnv {
    const { SOLOIST_URL: _, SOLOIST_KEY_PREFIX: __, NO_COLOR: ___, FORCE_COLOR: ____, ...env } = process.env
    const path = [dirname(process.execPath), env.PATH].join(delimiter)
    return { ...env, PATH: path, HOME: this.folder, XDG_STATE_HOME: join(this.folder, 'state') }
  }

  /** Starts `soloist` on this store. */
  start(...args: readonly string[]): Running {
    return this.startIn({ SOLOIST_URL: this.store }, args)
  }

  startIn(env: NodeJS.ProcessEnv, args: readonly string[]): Running {
    return this.#add(new Running([SOLOIST, ...args], { ...this.env, ...env }))
  }

  /** Starts a program that starts `soloist`, whose path is `$SOLOIST` to it, on this store. */
  startBy(...command: readonly string[]): Running {
    return this.#add(new Running(command, { ...this.env, SOLOIST, SOLOIST_URL: this.store }))
  }

  /** Starts `soloist` on this store with a terminal of its own; what is typed goes to the terminal. */
  startOnTerminal(...args: readonly string[]): Running {
    const command = [SOLOIST, ...args]
    const quoted = command.map(arg => `'${arg.replaceAll("'", "'\\''")}'`).join(' ')
    // The shell stays between `script` and the command, so that the command can be paused without pausing `script`.
    const shell = `trap : INT; ${quoted}; exit $?`
    const script = process.platform === 'darwin' ? ['-q', '/dev/null', 'sh', '-c', shell] : ['-qec', shell, '/dev/null']
    return this.#add(new Running(['script', ...script], { ...this.env, TERM: 'xterm', SOLOIST_URL: this.store }))
  }

  /** Runs `soloist` on this store to its end, with nothing on stdin. */
  async run(...args: readonly string[]): Promise<Ended> {
    return await finished(this.start(...args))
  }

  /** The state of a lock of this store, seen by this process: a process of its own for each look would cost far more. */
  async get(name: string): Promise<LockState | null> {
    this.#solo ??= connect(this.store)
    return await this.#solo.inspect(name)
  }

  /** Starts a `soloist run NAME … -- cat`, and resolves once it holds the lock. It ends when its stdin does. */
  async hold(name: string, ...options: readonly string[]): Promise<Running> {
    const running = this.start('run', name, ...options, '--', 'cat')
    running.type('held\n')
    await running.printed('held\n')
    return running
  }

  async end(): Promise<void> {
    for (const running of this.#running) running.kill()
    await Promise.allSettled([...this.#running.map(running => running.ended), this.#solo?.close()])
    rmSync(this.folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
  }

  #add(running: Running): Running {
    this.#running.push(running)
    return running
  }
}

/** A bench for each test of the file. */
export function useBench(): () => Bench {
  let bench: Bench
  beforeEach(() => {
    bench = new Bench()
  })
  afterEach(() => bench.end())
  return () => bench
}

export async function finished(running: Running): Promise<Ended> {
  running.endInput()
  return await running.ended
}

export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const until = performance.now() + 15_000
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`did not happen: ${what}`)
    await sleep(20)
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** The lines of a text that ends with a line end. */
export function lines(text: string): readonly string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n')
}
