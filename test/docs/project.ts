// A user's project in a folder outside the repository, whose files are the programs of one page. The package is in its
// node_modules as it was built, beside the packages it works with.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT } from './pages.js'

const FIXTURES = join(ROOT, 'test/docs/fixtures')
const PROGRAM_MS = 50_000

export interface Ran {
  /** The exit code, or the signal that ended it. */
  readonly end: number | string | null
  readonly stdout: string
  readonly stderr: string
}

/** What the pages call their servers, and what these are in the tests. */
export interface Servers {
  readonly redisPort: number
}

export class Project implements Disposable {
  readonly folder: string
  readonly #env: NodeJS.ProcessEnv

  /** @param workspace what has its packages; by default it has its own */
  constructor(servers: Servers, workspace?: Workspace) {
    this.folder = mkdtempSync(join(workspace?.folder ?? tmpdir(), 'soloist-docs-'))
    if (workspace === undefined) linkModules(this.folder)
    writeFileSync(join(this.folder, 'package.json'), '{ "private": true, "type": "module" }')
    const bin = join(this.folder, 'bin')
    mkdirSync(bin)
    const command = `#!/bin/sh\nexec '${process.execPath}' '${join(ROOT, 'dist/cli/main.js')}' "$@"\n`
    writeFileSync(join(bin, 'soloist'), command, { mode: 0o755 })
    const { SOLOIST_URL: _, SOLOIST_KEY_PREFIX: __, NODE_OPTIONS: ___, ...env } = process.env
    this.#env = {
      ...env,
      HOME: this.folder,
      XDG_STATE_HOME: join(this.folder, 'state'),
      PATH: `${bin}:${env.PATH}`,
      SOLOIST_URL: `redis://127.0.0.1:${servers.redisPort}`,
    }
  }

  /** Writes the files that the page's programs import and do not show. */
  addFixtures(page: string): void {
    const fixtures = join(FIXTURES, page.replace(/\.md$/, ''))
    if (existsSync(fixtures)) cpSync(fixtures, this.folder, { recursive: true })
  }

  /** @param name the path of the program below the folder */
  add(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true })
    writeFileSync(join(this.folder, name), text)
  }

  /** Checks the types of all programs, and makes JavaScript of them. @returns what the compiler printed */
  async compile(): Promise<readonly string[]> {
    return await compile(this.folder)
  }

  /** Runs a program until it ends, or until it has printed what is waited for, and ends it then. */
  async program(file: string, until?: (stdout: string) => boolean): Promise<Ran> {
    return await this.#run(spawn(process.execPath, [file.replace(/\.([cm]?)ts$/, '.$1js')], this.#options()), until)
  }

  /** Runs a file of tests with Vitest: all of them, or those whose names match. */
  async tests(file: string, pattern?: string): Promise<Ran> {
    const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
    const args = ['run', file, '--root', this.folder, ...(pattern === undefined ? [] : ['-t', pattern])]
    return await this.#run(spawn(process.execPath, [vitest, ...args], this.#options()))
  }

  /** Runs lines of a shell. */
  async shell(lines: string): Promise<Ran> {
    return await this.#run(spawn('sh', ['-ec', lines], this.#options()))
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #options() {
    return { cwd: this.folder, env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'] }
  }

  async #run(child: ChildProcess, until?: (stdout: string) => boolean): Promise<Ran> {
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', text => {
      stdout += text
      if (until?.(stdout)) child.kill('SIGTERM')
    })
    child.stderr?.setEncoding('utf8').on('data', text => {
      stderr += text
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), PROGRAM_MS)
    const end = await new Promise<number | string | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve(code ?? signal))
    })
    clearTimeout(timer)
    return { end, stdout, stderr }
  }
}

/** A folder of projects that share their packages, and are compiled at once: the compiler reads all types once then. */
export class Workspace implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'soloist-pages-'))

  constructor() {
    linkModules(this.folder)
  }

  /** Checks the types of all programs, and makes JavaScript of them. @returns what the compiler printed about a project */
  async compile(): Promise<(project: Project) => readonly string[]> {
    const complaints = await compile(this.folder)
    // What is about no project is about all.
    return ({ folder }) =>
      complaints.filter(text => text.startsWith(`${basename(folder)}/`) || !text.startsWith('soloist-docs-'))
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The packages of this repository, and the package as it was built. */
function linkModules(folder: string): void {
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  }
  symlinkSync(ROOT, join(modules, 'soloist'))
}

/** @returns what the compiler printed, one text for each complaint */
async function compile(folder: string): Promise<readonly string[]> {
  const compilerOptions = {
    ...{ rootDir: '.', outDir: '.', declaration: false, isolatedDeclarations: false, noUnusedLocals: false },
    ...{ typeRoots: [join(ROOT, 'node_modules/@types')] },
  }
  const config = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions,
    include: ['**/*.ts', '**/*.mts', '**/*.cts'],
    exclude: ['node_modules'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const compiler = join(ROOT, 'node_modules/.bin/tsc')
  // It ends with an error where it has something to say.
  const { stdout, stderr } = await promisify(execFile)(compiler, ['-p', '.', '--pretty', 'false'], {
    cwd: folder,
  }).catch((complaint: { stdout: string; stderr: string }) => complaint)
  // All lines of one but the first are indented.
  return `${stdout}${stderr}`.split(/\n(?!\s)/).filter(text => text !== '')
}

/** The text with the addresses of this test run's servers in the place of those that the pages name. */
export function withServers(text: string, { redisPort }: Servers): string {
  return text
    .replaceAll(/redis:\/\/[\w.]+:6379/g, `redis://127.0.0.1:${redisPort}`)
    .replaceAll(/postgres:\/\/[^\s'"`]+:5432\/\w+/g, String(process.env.SOLOIST_TEST_POSTGRES))
    .replaceAll(/\bport: 6379\b/g, `port: ${redisPort}`)
}
