import { createHash } from 'node:crypto'
import { invalidArgument } from '../../errors.js'

/** The ends of the keys beside a lock's own, in the order in which the scripts take them. */
const SIDES = [':s', ':q', ':w', ':d', ':f'] as const
/** What a name gets before it when the key would have no usable hash tag. */
const TAG = '{~}'
const LOOKS_LIKE_SIDE = /:[sqwdfr]~*$/
const ESCAPED_SIDE = /:[sqwdfr]~+$/
const SIDE_IN_USE = /:[sq]$/
const SIDE = /:[sqwdfr]$/

const DEFAULT_PREFIX = 'soloist:'

/** @throws SoloistError `INVALID_ARGUMENT` for a prefix that is no well-formed string */
export function prefixOf({ prefix = DEFAULT_PREFIX }: { readonly prefix?: string | undefined }): string {
  if (typeof prefix !== 'string' || !prefix.isWellFormed()) {
    throw invalidArgument('the prefix must be a well-formed string')
  }
  return prefix
}

/**
 * The keys of the locks under one prefix.
 *
 * A lock's own key is prefix + name, so that a plain `GET` finds its owner. Its side keys are in the same slot of a
 * cluster: `key:q` when the key has a hash tag, else `{key}:q`. Two things would let names meet, so those names are
 * changed, by rules that can be undone: a name whose key has a `}` but no tag, or is nothing but a tag, or begins with
 * `{~}`, gets `{~}` before it; a key with a brace that ends like a side key gets a `~` behind it.
 */
export class KeySpace {
  readonly #prefix: string

  /** @param prefix all that comes before a name, also what the client puts there itself */
  constructor(prefix: string) {
    if (!hasTag(prefix + TAG)) throw invalidArgument('a prefix must not contain "{}": no hash tag could follow it')
    this.#prefix = prefix
  }

  /** The lock's own key. */
  own(name: string): string {
    let key = this.#prefix + name
    if (name.startsWith(TAG) || isTag(key) || (key.includes('}') && !hasTag(key))) key = this.#prefix + TAG + name
    return key.includes('{') && LOOKS_LIKE_SIDE.test(key) ? `${key}~` : key
  }

  /** The lock's own key and its side keys. */
  keys(name: string): readonly string[] {
    const key = this.own(name)
    const side = sideOf(key)
    return [key, ...SIDES.map(end => side + end)]
  }

  /** The key of what an owner of this lock left, in the same slot. Owners may hold anything, their digests do not. */
  result(name: string, owner: string): string {
    return `${sideOf(this.own(name))}:${createHash('sha1').update(owner).digest('hex')}:r`
  }

  /** The glob patterns which together match every key of every lock whose name starts with `start`, taken literally. */
  patterns(start: string): readonly string[] {
    const starts = [this.#prefix + start, `{${this.#prefix}${start}`]
    if (start !== '') starts.push(this.#prefix + TAG + start)
    return starts.map(startingWith)
  }

  /** The name of the lock which a key shows to be in use, or `null` when the key shows nothing of the kind. */
  nameOf(key: string): string | null {
    let own = key
    if (key.includes('{') && SIDE.test(key)) {
      if (!SIDE_IN_USE.test(key)) return null
      own = key.slice(0, -2)
      if (isTag(own)) own = own.slice(1, -1)
    }
    if (!own.startsWith(this.#prefix)) return null
    if (own.includes('{') && ESCAPED_SIDE.test(own)) own = own.slice(0, -1)
    const name = own.slice(this.#prefix.length)
    const plain = name.startsWith(TAG) ? name.slice(TAG.length) : name
    return plain === '' ? null : plain
  }
}

/** The glob pattern that matches every key which starts with `start`, taken literally. */
export function startingWith(start: string): string {
  return `${start.replace(/[\\*?[\]^-]/g, '\\$&')}*`
}

function sideOf(key: string): string {
  return hasTag(key) ? key : `{${key}}`
}

/** Whether Redis Cluster takes only a part of the key for its slot. */
function hasTag(key: string): boolean {
  const open = key.indexOf('{')
  return open >= 0 && key.indexOf('}', open + 1) > open + 1
}

function isTag(key: string): boolean {
  return key.length > 2 && key.startsWith('{') && key.indexOf('}') === key.length - 1
}
