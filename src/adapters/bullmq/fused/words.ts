interface Named {
  readonly first: unknown
  readonly prefix: string
  readonly keys: readonly (string | null)[]
}

/**
 * What the keys of a script of BullMQ's are called behind the prefix of their queue, in their order, as `'wait <5> meta:<1>'`:
 * `<5>` stands for `ARGV[5]`. Keys that are called so do not travel: the script makes them of its first. Neither does each argument
 * by itself: clients and servers take most of a microsecond for each word of a call, and far less for a part of one.
 */
export class KeyNames {
  readonly #count: number
  /** Of each key literal parts, with the places of arguments between them. */
  readonly #names: readonly (readonly (string | number)[])[]
  readonly #first: string
  /** Those of the last queue, `null` where they have an argument in them. */
  #last: Named | null = null

  constructor(names: string) {
    this.#names = names
      .split(' ')
      .map(name => name.split(/<(\d+)>/).map((part, i) => (i % 2 === 0 ? part : Number(part))))
    this.#count = this.#names.length
    this.#first = names.slice(0, names.indexOf(' '))
  }

  /** The beginning of a script that is called so. From then on `KEYS` and `ARGV` are BullMQ's, of the first of all `lists`. */
  get lua(): string {
    const keys = this.#names.map(parts =>
      parts.flatMap(part => (part === '' ? [] : [typeof part === 'string' ? `'${part}'` : `ARGV[${part}]`])).join('..'),
    )
    return [
      'local lists = cmsgpack.unpack(ARGV[1])',
      'local queue, KEYS, ARGV = KEYS[1], lists[1], lists[2]',
      'if #KEYS == 0 then',
      `  queue = string.sub(queue, 1, -${this.#first.length + 1})`,
      `  KEYS = {${keys.map(key => `queue..${key}`).join(',')}}`,
      'end\n',
    ].join('\n')
  }

  /** Whether both may travel in one call. */
  areOfOneQueue(args: readonly unknown[], others: readonly unknown[]): boolean {
    return args[0] === others[0] && this.#areThoseOf(args) && this.#areThoseOf(others)
  }

  /** The words of a call. @param calls keys and arguments of each; if they are several, they are {@link areOfOneQueue} */
  wordsOf(calls: readonly (readonly unknown[])[]): unknown[] {
    const first = calls[0] as readonly unknown[]
    packer.start()
    packer.list(calls.length + 1)
    if (this.#areThoseOf(first)) packer.list(0)
    else packer.words(first, 0, this.#count)
    for (const args of calls) packer.words(args, this.#count, args.length)
    return [first[0], packer.end()]
  }

  #areThoseOf(args: readonly unknown[]): boolean {
    const first = args[0]
    if (this.#last?.first !== first) {
      if (typeof first !== 'string' || !first.endsWith(this.#first)) return false
      const prefix = first.slice(0, -this.#first.length)
      const keys = this.#names.map(parts => (parts.length === 1 ? `${prefix}${parts[0]}` : null))
      this.#last = { first, prefix, keys }
    }
    const { prefix, keys } = this.#last as Named
    for (let i = 1; i < this.#count; i += 1) {
      if (args[i] !== (keys[i] ?? this.#nameOf(i, prefix, args))) return false
    }
    return true
  }

  #nameOf(i: number, prefix: string, args: readonly unknown[]): string {
    let name = prefix
    for (const part of this.#names[i] ?? [])
      name += typeof part === 'string' ? part : String(args[this.#count + part - 1])
    return name
  }
}

/** What is kept for the next time. */
const KEPT_BYTES = 0x10000

/** Writes lists of words as msgpack has them, for `cmsgpack`, which takes any bytes for a string. */
class Packer {
  #buffer = Buffer.allocUnsafeSlow(KEPT_BYTES)
  #at = 0

  start(): void {
    this.#at = 0
  }

  list(count: number): void {
    this.#have(3)
    this.#buffer[this.#at] = 0xdc
    this.#buffer[this.#at + 1] = count >> 8
    this.#buffer[this.#at + 2] = count
    this.#at += 3
  }

  /** Those of `all` from one on until before another, as a list. */
  words(all: readonly unknown[], from: number, until: number): void {
    this.list(until - from)
    for (let i = from; i < until; i += 1) {
      const word = all[i]
      if (typeof word === 'string') this.#text(word)
      else if (word instanceof Uint8Array) this.#bytes(word)
      else this.#text(String(word ?? ''))
    }
  }

  end(): Buffer {
    const packed = Buffer.from(this.#buffer.subarray(0, this.#at))
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(KEPT_BYTES)
    return packed
  }

  /** A character takes 3 bytes at the most. */
  #text(text: string): void {
    const most = text.length * 3
    this.#have(most + 5)
    const head = most < 0x20 ? 1 : most < 0x10000 ? 3 : 5
    const length = this.#buffer.write(text, this.#at + head)
    this.#length(head, length)
    this.#at += length
  }

  #bytes(bytes: Uint8Array): void {
    const { length } = bytes
    this.#have(length + 5)
    this.#length(length < 0x20 ? 1 : length < 0x10000 ? 3 : 5, length)
    this.#buffer.set(bytes, this.#at)
    this.#at += length
  }

  #length(head: number, length: number): void {
    const buffer = this.#buffer
    if (head === 1) buffer[this.#at] = 0xa0 + length
    else if (head === 3) {
      buffer[this.#at] = 0xda
      buffer[this.#at + 1] = length >> 8
      buffer[this.#at + 2] = length
    } else {
      buffer[this.#at] = 0xdb
      buffer.writeUInt32BE(length, this.#at + 1)
    }
    this.#at += head
  }

  #have(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes))
    larger.set(this.#buffer.subarray(0, this.#at))
    this.#buffer = larger
  }
}

const packer = new Packer()
