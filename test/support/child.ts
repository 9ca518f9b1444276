import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** A process and all that it starts. */
export interface Child {
  /** What it has printed so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves when it has ended and all it printed is here. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  /** Of its group, which is also what signals for all of them go to. */
  readonly pid: number | undefined
  /** Sends a signal to all of them; does nothing once it has ended. */
  end(signal: NodeJS.Signals): void
}

/** Where the environment of the tests would change what a user's own tool does. */
const NOT_PASSED_ON = /^(VITEST|TEST|NODE_ENV|NODE_OPTIONS|npm_|INIT_CWD|FORCE_COLOR)/

export function start(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Child {
  const passed = Object.entries(process.env).filter(([name]) => !NOT_PASSED_ON.test(name))
  const child = spawn(command, args, {
    cwd,
    env: { ...Object.fromEntries(passed), NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: it ends together with its own children.
    detached: true,
  })
  const printed = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', chunk => {
      printed[stream] += chunk
    })
  }
  let running = true
  const ended = once(child, 'close').then(
    ([code, signal]) => {
      running = false
      return { code, signal }
    },
    error => {
      running = false
      printed.stderr += `${error}\n`
      return { code: -1, signal: null }
    },
  )
  return {
    get stdout() {
      return printed.stdout
    },
    get stderr() {
      return printed.stderr
    },
    ended,
    pid: child.pid,
    end(signal) {
      if (!running || child.pid === undefined) return
      try {
        process.kill(-child.pid, signal)
      } catch (error) {
        // All of them ended by themselves meanwhile.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    },
  }
}
