import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Child, start } from '../../support/child.js'

/** How long a command may take before it counts as one that does not end, in milliseconds: builds share two cores. */
const ENDS_WITHIN_MS = 240_000

export interface Printed {
  readonly stdout: string
  readonly stderr: string
}

/** A folder outside this repository, in which commands are run. */
export class Folder implements AsyncDisposable {
  readonly folder: string
  readonly #children: Child[] = []

  /** @param name for people who look at it @param source what it starts as a copy of */
  constructor(name: string, source: string) {
    this.folder = mkdtempSync(join(tmpdir(), `soloist-${name}-`))
    cpSync(source, this.folder, { recursive: true })
  }

  /** The path of something in the folder. */
  path(...parts: string[]): string {
    return join(this.folder, ...parts)
  }

  /**
   * Runs a command in the folder until it has ended by itself.
   *
   * @returns what it printed on stdout and on stderr
   * @throws Error with all that it printed, when it failed or did not end
   */
  async run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Printed> {
    const child = this.start(command, args, env)
    const timer = setTimeout(() => child.end('SIGKILL'), ENDS_WITHIN_MS)
    const { code, signal } = await child.ended
    clearTimeout(timer)
    if (code !== 0) {
      const how = signal === null ? `failed with ${code}` : `did not end by itself within ${ENDS_WITHIN_MS / 1_000} s`
      throw new Error(`${[command, ...args].join(' ')} ${how}:\n${child.stdout}${child.stderr}`)
    }
    return { stdout: child.stdout, stderr: child.stderr }
  }

  /** Runs a program that prints one line of JSON, and nothing else, before it ends by itself. */
  async ask<T>(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<T> {
    const { stdout, stderr } = await this.run(command, args, env)
    try {
      return JSON.parse(stdout) as T
    } catch (cause) {
      throw new Error(`${[command, ...args].join(' ')} printed:\n${stdout}${stderr}`, { cause })
    }
  }

  /** Starts a command in the folder that runs until it is ended; at the latest, `remove` ends it. */
  start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
    const child = start(command, args, this.folder, env)
    this.#children.push(child)
    return child
  }

  /** Ends what still runs, and removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.end('SIGKILL')
    await Promise.all(this.#children.map(({ ended }) => ended))
    rmSync(this.folder, { recursive: true, force: true })
  }
}
