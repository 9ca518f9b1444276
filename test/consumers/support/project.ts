import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, fetchLocked, linkTree } from '../../../scripts/fetched.js'
import { type Child, start } from './child.js'

const here = fileURLToPath(new URL('..', import.meta.url))

/** How long a command may take before it counts as one that does not end, in milliseconds. */
const ENDS_WITHIN_MS = 120_000

/**
 * A folder outside this repository as a user of the package has it: the files of one of `projects/`, the packages that its
 * lockfile names, and the tarball, installed by npm.
 */
export class Project {
  readonly folder: string
  readonly #children: Child[] = []

  /** @param name a folder of `projects/` @param programs whether the project runs the programs of `programs/` */
  constructor(name: string, { programs = false }: { readonly programs?: boolean } = {}) {
    const source = join(here, 'projects', name)
    const fetched = fetchOnce(name, source)
    this.folder = mkdtempSync(join(tmpdir(), `soloist-${name}-`))
    cpSync(source, this.folder, { recursive: true })
    if (programs) cpSync(join(here, 'programs'), this.folder, { recursive: true })
    linkTree(join(fetched, 'node_modules'), join(this.folder, 'node_modules'))
    install(this.folder, String(process.env.SOLOIST_TEST_TARBALL))
  }

  /** The path of something in the project. */
  path(...parts: string[]): string {
    return join(this.folder, ...parts)
  }

  /**
   * Runs a command in the project until it has ended by itself.
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

  /** Starts a command in the project that runs until it is ended; at the latest, `remove` ends it. */
  start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
    const child = start(command, args, this.folder, env)
    this.#children.push(child)
    return child
  }

  /** A command that one of the project's packages brings. */
  bin(name: string): string {
    return this.path('node_modules', '.bin', name)
  }

  /** Ends what still runs, and removes the folder. */
  async remove(): Promise<void> {
    for (const child of this.#children) child.end('SIGKILL')
    await Promise.all(this.#children.map(({ ended }) => ended))
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export interface Printed {
  readonly stdout: string
  readonly stderr: string
}

/** The packages of a lockfile, which stay in the cache until it changes. @returns the folder that has them */
function fetchOnce(name: string, source: string): string {
  const hash = createHash('sha256').update(readFileSync(join(source, 'package-lock.json'))).digest('hex')
  const folder = cacheFolder('consumers', `${name}-${hash.slice(0, 12)}`)
  if (existsSync(folder)) return folder
  mkdirSync(cacheFolder('consumers'), { recursive: true })
  const fresh = mkdtempSync(cacheFolder('consumers', `.${name}-`))
  for (const file of ['package.json', 'package-lock.json']) cpSync(join(source, file), join(fresh, file))
  try {
    if (!fetchLocked(fresh)) throw new Error(`the packages of the project ${name} could not be fetched`)
    renameSync(fresh, folder)
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    // Unless another run was faster.
    if (!existsSync(folder)) throw error
  }
  return folder
}

/** As a user would, so a peer in the project that the package does not take fails it. */
function install(folder: string, tarball: string): void {
  const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline']
  const { status, stdout, stderr } = spawnSync('npm', ['install', ...options, tarball], {
    cwd: folder,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`npm install of the tarball failed:\n${stdout}${stderr}`)
}
