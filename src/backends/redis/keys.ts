import { hash } from 'node:crypto'
import { invalidArgument } from '../../errors.js'
import { before } from './protocol/words.js'
import { HashTags, hashedPart } from './slots.js'

/** The ends of the keys beside a lock's own: `2` is the version of the layout. */
const QUEUE = ':q2'
const DETAILS = ':d2'
const FENCE = ':f2'
const RESULT = ':r2'
/** What a name gets before it when the key would have no usable hash tag. */
const TAG = '{~}'
// Of the first layout, which had no version in its keys, too: an old key must not be taken for a lock, nor a lock for one.
const LOOKS_LIKE_SIDE = /:(?:[sqwdfr]|[qdfr]2)~*$/
const ESCAPED_SIDE = /:(?:[sqwdfr]|[qdfr]2)~+$/
const SIDE = /:(?:[sqwdfr]|[qdfr]2)$/

const DEFAULT_PREFIX = 'soloist:'
/** The most hash tags that names can be divided among. */
const MOST_HASH_TAGS = 1_024

/** @throws SoloistError `INVALID_ARGUMENT` for a prefix that is no well-formed string */
export function prefixOf({ prefix = DEFAULT_PREFIX }: { readonly prefix?: string | undefined }): string {
  if (typeof prefix !== 'string' || !prefix.isWellFormed()) {
    throw invalidArgument('the prefix must be a well-formed string')
  }
  return prefix
}

/** @throws SoloistError `INVALID_ARGUMENT` for what is no number of hash tags */
export function hashTagsOf({ hashTags }: { readonly hashTags?: number | undefined }): HashTags | null {
  if (hashTags === undefined) return null
  if (!Number.isSafeInteger(hashTags) || hashTags < 1 || hashTags > MOST_HASH_TAGS) {
    const what = typeof hashTags === 'number' ? hashTags : typeof hashTags
    throw invalidArgument(`hashTags must be a whole number from 1 to ${MOST_HASH_TAGS}, not ${what}`)
  }
  return new HashTags(hashTags)
}

/** The keys of one lock in the order in which the scripts take them; all in one slot of a cluster. */
export interface LockKeys {
  readonly lock: string
  readonly queue: string
  readonly details: string
}

/** What stands before, between and behind the three times a name stands in its keys as they are sent. */
export interface AroundName {
  readonly lock: string
  readonly queue: string
  readonly details: string
  readonly end: string
}

/**
 * The keys of the locks under one prefix.
 *
 * A lock's own key is prefix + name, so that a plain `GET` finds its owner. Its side keys are in the same slot of a
 * cluster: `key:q2` when the key has a hash tag, else `{key}:q2`. Two things would let names meet, so those names are
 * changed, by rules that can be undone: a name whose key has a `}` but no tag, or is nothing but a tag, or begins with
 * `{~}`, gets `{~}` before it; a key with a brace that ends like a side key gets a `~` behind it.
 *
 * With few hash tags a lock's own key is prefix + its tag + `:` + name, which is the key of the name `{tag}:name` without.
 */
export class KeySpace {
  /** The one fence mark of all locks, where a script may use keys of several slots. */
  readonly mark: string
  readonly #prefix: string
  readonly #tags: HashTags | null
  /** Whether a name without braces needs no second look. */
  readonly #plain: boolean
  /** By the length of the name. */
  readonly #around: AroundName[] = []

  /**
   * @param prefix all that comes before a name, also what the client puts there itself
   * @param tags what names are divided among; `null`: each key has a slot of its own
   * @throws SoloistError `INVALID_ARGUMENT` for a prefix after which no hash tag would count
   */
  constructor(prefix: string, tags: HashTags | null = null) {
    if (!hasTag(prefix + TAG)) throw invalidArgument('a prefix must not contain "{}": no hash tag could follow it')
    if (tags !== null && prefix.includes('{')) {
      throw invalidArgument('a prefix must not contain "{" where hashTags is given: its own hash tag would count alone')
    }
    this.#prefix = prefix
    this.#tags = tags
    this.#plain = tags === null && !/[{}]/.test(prefix)
    this.mark = sideOf(prefix) + FENCE
  }

  /** The lock's own key. */
  own(name: string): string {
    if (this.#tags !== null) return escaped(`${this.#prefix}${this.#tags.of(name)}:${name}`)
    let key = this.#prefix + name
    if (this.#isPlain(name)) return key
    if (name.startsWith(TAG) || isTag(key) || (key.includes('}') && !hasTag(key))) key = this.#prefix + TAG + name
    return escaped(key)
  }

  keys(name: string): LockKeys {
    const lock = this.own(name)
    const side = sideOf(lock)
    return { lock, queue: side + QUEUE, details: side + DETAILS }
  }

  /** The same keys as words of a command, for a plain name, as nearly all are; `null` for any other. */
  around(name: string): AroundName | null {
    if (!this.#isPlain(name)) return null
    const { length } = name
    let around = this.#around[length]
    if (around === undefined) {
      const own = this.#prefix.length + length
      around = {
        lock: before(own) + this.#prefix,
        queue: `${before(own + 2 + QUEUE.length)}{${this.#prefix}`,
        details: `}${QUEUE}${before(own + 2 + DETAILS.length)}{${this.#prefix}`,
        end: `}${DETAILS}`,
      }
      this.#around[length] = around
    }
    return around
  }

  /**
   * The lock's fence mark where a script may use keys of one slot only: shared by all locks whose keys are equal up to the
   * end of their hash tag. What has one mark is in one slot.
   */
  markOf(name: string): string {
    const side = sideOf(this.own(name))
    return side.slice(0, side.indexOf('}', side.indexOf('{') + 1) + 1) + FENCE
  }

  /** The key of what an owner of this lock left, in the same slot. Owners may hold anything, their digests do not. */
  result(name: string, owner: string): string {
    return `${sideOf(this.own(name))}:${hash('sha1', owner)}${RESULT}`
  }

  /** The glob patterns which together match every key of every lock whose name starts with `start`, taken literally. */
  patterns(start: string): readonly string[] {
    if (this.#tags !== null) return [`${literally(`${this.#prefix}{`)}*${literally(`}:${start}`)}*`]
    const starts = [this.#prefix + start, `{${this.#prefix}${start}`]
    if (start !== '') starts.push(this.#prefix + TAG + start)
    return starts.map(startingWith)
  }

  /** The name of the lock which a key shows to be in use, or `null` when the key shows nothing of the kind. */
  nameOf(key: string): string | null {
    let own = key
    if (key.includes('{') && SIDE.test(key)) {
      if (!key.endsWith(QUEUE)) return null
      own = key.slice(0, -QUEUE.length)
      if (isTag(own)) own = own.slice(1, -1)
    }
    if (!own.startsWith(this.#prefix)) return null
    if (own.includes('{') && ESCAPED_SIDE.test(own)) own = own.slice(0, -1)
    const name = own.slice(this.#prefix.length)
    if (this.#tags !== null) return this.#taggedName(name, this.#tags)
    const plain = name.startsWith(TAG) ? name.slice(TAG.length) : name
    return plain === '' ? null : plain
  }

  /** What follows the tag, if that is the tag of this name: others are keys of clients without tags, or with more or fewer. */
  #taggedName(tagged: string, tags: HashTags): string | null {
    const name = tagged.slice(`{${hashedPart(tagged)}}:`.length)
    return name !== '' && tagged === `${tags.of(name)}:${name}` ? name : null
  }

  #isPlain(name: string): boolean {
    return this.#plain && !name.includes('{') && !name.includes('}')
  }
}

/** The glob pattern that matches every key which starts with `start`, taken literally. */
export function startingWith(start: string): string {
  return `${literally(start)}*`
}

function literally(text: string): string {
  return text.replace(/[\\*?[\]^-]/g, '\\$&')
}

/** A key that ends like a side key gets a `~` behind it. */
function escaped(key: string): string {
  return key.includes('{') && LOOKS_LIKE_SIDE.test(key) ? `${key}~` : key
}

function sideOf(key: string): string {
  return hasTag(key) ? key : `{${key}}`
}

/** Whether Redis Cluster takes only a part of the key for its slot. */
function hasTag(key: string): boolean {
  return hashedPart(key) !== key
}

function isTag(key: string): boolean {
  return key.length > 2 && key.startsWith('{') && key.indexOf('}') === key.length - 1
}
