import { isUtf8 } from 'node:buffer'
import type { StdioOptions } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { UsageError } from '../failure.js'
import { argumentBytes, brokenVariables, type Inherited, takeInherited } from './inherited.js'

/** What `spawn` is given. */
export interface Spawned {
  readonly file: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly stdio: StdioOptions
}

const SHELL = '/bin/sh'
const ENV = '/usr/bin/env'
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin'

/**
 * How CMD is started so that it gets what this command got: its arguments and variables byte for byte, the signals that
 * were ignored, and the open descriptors.
 *
 * Node.js starts a program with UTF-8 alone and with every signal at its default. Where that is not what this command
 * got, a shell stands in between: it ignores the signals again, writes the bytes, and becomes CMD by `exec`. What it runs
 * is made of numbers and octal digits only; arguments and variables are data to it.
 */
export class Launch {
  /** CMD, for messages. */
  readonly name: string
  readonly #words: readonly Buffer[]
  /** Variables that only the program `env` can give to CMD, or that need no shell. */
  readonly #variables: readonly Buffer[]
  readonly #inherited: Inherited

  /** @throws UsageError when CMD cannot get its arguments or its variables as they are */
  constructor(command: readonly string[], inherited: Inherited = takeInherited()) {
    this.name = command[0] ?? ''
    this.#words = argumentBytes(command)
    this.#variables = [...inherited.variables, ...brokenVariables()]
    this.#inherited = inherited
    if (this.#variables.length > 0 && this.#needsShell && this.name.includes('=')) {
      throw new UsageError('CMD must not have = in its name where variables have bytes or names that only env can set')
    }
  }

  /**
   * @param added the variables that CMD gets beside those of this command
   * @throws an error with the code `ENOENT` or `EACCES` when CMD is not there or cannot be executed; by `spawn` otherwise
   */
  spawned(added: NodeJS.ProcessEnv): Spawned {
    const env: NodeJS.ProcessEnv = { ...process.env, ...added }
    const stdio = stdioOf(this.#inherited.descriptors)
    const [file = '', ...args] = this.#words.map(String)
    if (!this.#needsShell) {
      for (const [name, value] of this.#variables.map(bytes => splitVariable(String(bytes)))) env[name] = value
      return { file, args, env, stdio }
    }
    // As Node.js has them they are broken.
    for (const [name] of this.#variables.map(bytes => splitVariable(String(bytes)))) delete env[name]
    // The shell would tell it in its own words, with CMD counted as run.
    const found = lookUp(this.#words[0] as Buffer, this.#broken('PATH') ?? Buffer.from(env.PATH ?? DEFAULT_PATH))
    const words = file.startsWith('-') ? [found, ...this.#words.slice(1)] : this.#words
    const through =
      this.#variables.length === 0 ? words : [Buffer.from(ENV), Buffer.from('--'), ...this.#variables, ...words]
    return {
      file: SHELL,
      args: ['-c', script(through, this.#inherited.ignored), 'sh', ...through.map(String)],
      env,
      stdio,
    }
  }

  /** The value of a variable that only `env` can set. */
  #broken(name: string): Buffer | undefined {
    const start = Buffer.from(`${name}=`)
    return this.#variables.find(bytes => bytes.subarray(0, start.length).equals(start))?.subarray(start.length)
  }

  get #needsShell(): boolean {
    return this.#inherited.ignored.length > 0 || ![...this.#words, ...this.#variables].every(bytes => isUtf8(bytes))
  }
}

/** Ignores the signals, and becomes the program that `words` name, which are its parameters but for those that are no UTF-8. */
function script(words: readonly Buffer[], ignored: readonly number[]): string {
  const lines = ignored.length === 0 ? [] : [`trap '' ${ignored.join(' ')}`]
  const broken = words.map((word, i) => (isUtf8(word) ? null : `_soloist_${i + 1}`))
  words.forEach((word, i) => {
    // The full stop keeps line ends at the end, which the shell would cut.
    if (broken[i] !== null) lines.push(`${broken[i]}=$(printf '${octal(word)}.')`)
  })
  const parameters = broken.map((name, i) => (name === null ? `"\${${i + 1}}"` : `"\${${name}%.}"`))
  return [...lines, `exec ${broken.some(Boolean) ? parameters.join(' ') : '"$@"'}`].join('\n')
}

function octal(bytes: Buffer): string {
  return Array.from(bytes, byte => `\\${byte.toString(8).padStart(3, '0')}`).join('')
}

/** Every descriptor of the caller under its own number. */
function stdioOf(descriptors: readonly number[]): StdioOptions {
  const stdio: ('inherit' | 'ignore' | number)[] = ['inherit', 'inherit', 'inherit']
  for (const fd of [...descriptors].sort((a, b) => a - b)) {
    while (stdio.length < fd) stdio.push('ignore')
    stdio[fd] = fd
  }
  return stdio
}

/** Where the system would find the program; see execvp(3). */
function lookUp(file: Buffer, path: Buffer): Buffer {
  const folders = file.includes('/')
    ? ['']
    : path
        .toString('latin1')
        .split(':')
        .map(folder => `${folder || '.'}/`)
  let denied = false
  for (const folder of folders) {
    const candidate = Buffer.concat([Buffer.from(folder, 'latin1'), file])
    try {
      const isFile = statSync(candidate).isFile()
      if (isFile) {
        accessSync(candidate, constants.X_OK)
        return candidate
      }
      denied = true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') denied = true
    }
  }
  throw Object.assign(new Error(`cannot find ${file}`), { code: denied ? 'EACCES' : 'ENOENT' })
}

function splitVariable(text: string): readonly [string, string] {
  const at = text.indexOf('=', 1)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
