import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { UsageError } from '../failure.js'
import { quoted } from '../output/text.js'

/** What stands in decoded text where the bytes were no UTF-8. */
const BROKEN = '\ufffd'
const VARIABLE = 'SOLOIST_INHERITED'

/** What the caller of this command gave it and Node.js hides. Only `bin/soloist` can see it, and only where there is a `/proc`. */
export interface Inherited {
  /** The numbers of the signals that were ignored. */
  readonly ignored: readonly number[]
  /** The open descriptors beside stdin, stdout and stderr. */
  readonly descriptors: readonly number[]
  /** The variables of the environment whose names are no shell names, as `NAME=value`. */
  readonly variables: readonly Buffer[]
}

const NOTHING: Inherited = { ignored: [], descriptors: [], variables: [] }

let inherited: Inherited | null = null

/** Takes what `bin/soloist` tells out of the environment, which CMD gets. */
export function takeInherited(): Inherited {
  const told = process.env[VARIABLE]
  delete process.env[VARIABLE]
  inherited ??= told === undefined ? NOTHING : parse(told)
  return inherited
}

function parse(told: string): Inherited {
  const fields = told.split(' ').map(field => field.split('=') as [string, string?])
  const valuesOf = (key: string) =>
    fields.filter(([name, value]) => name === key && value).map(field => field[1] as string)
  const [hex = ''] = valuesOf('ignored')
  const mask = /^[0-9a-f]+$/.test(hex) ? BigInt(`0x${hex}`) : 0n
  // Those above 31 keep their disposition in Node.js and its children anyway.
  const ignored = Array.from({ length: 31 }, (_, i) => i + 1).filter(n => (mask >> BigInt(n - 1)) & 1n)
  const variables = valuesOf('variables').flatMap(hex => splitAtNul(Buffer.from(hex, 'hex')))
  return { ignored, descriptors: valuesOf('open').map(Number).filter(Number.isInteger), variables }
}

/**
 * The last arguments of this process, byte for byte: Node.js decodes them and puts U+FFFD where they are no UTF-8.
 *
 * @param decoded the same arguments as Node.js has them
 * @throws UsageError when there is such a character in them and the bytes cannot be read
 */
export function argumentBytes(decoded: readonly string[]): readonly Buffer[] {
  const encoded = decoded.map(text => Buffer.from(text))
  if (!decoded.some(text => text.includes(BROKEN))) return encoded
  const raw = readList('/proc/self/cmdline')?.slice(-decoded.length) ?? []
  decoded.forEach((text, i) => {
    if (text.includes(BROKEN) && raw[i]?.toString() !== text) {
      throw new UsageError(`the argument ${quoted(text)} of CMD is not valid UTF-8, and its bytes cannot be read here`)
    }
  })
  return encoded.map((bytes, i) => (decoded[i]?.includes(BROKEN) ? (raw[i] as Buffer) : bytes))
}

/**
 * The variables of the environment that are not UTF-8, as `NAME=value`.
 *
 * @throws UsageError when there is one and its bytes cannot be read
 */
export function brokenVariables(): readonly Buffer[] {
  const names = Object.entries(process.env).flatMap(([name, value]) =>
    `${name}${value}`.includes(BROKEN) ? [name] : [],
  )
  if (names.length === 0) return []
  const raw = readList('/proc/self/environ')
  return names.flatMap(name => {
    const found = raw?.find(bytes => bytes.toString() === `${name}=${process.env[name]}`)
    if (found !== undefined) return isUtf8(found) ? [] : [found]
    throw new UsageError(`the variable ${quoted(name)} is not valid UTF-8, and its bytes cannot be read here`)
  })
}

/** The texts of a file that has a NUL behind each; `null` where it cannot be read. */
function readList(file: string): readonly Buffer[] | null {
  try {
    return splitAtNul(readFileSync(file))
  } catch {
    // No /proc, or not for this process; the caller tells what that means.
    return null
  }
}

function splitAtNul(bytes: Buffer): readonly Buffer[] {
  const texts: Buffer[] = []
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from)
    texts.push(bytes.subarray(from, end < 0 ? bytes.length : end))
    from = end < 0 ? bytes.length : end + 1
  }
  return texts
}
