/** The slots of a Redis Cluster. */
const SLOTS = 16_384

/** CRC-16/XMODEM of each byte, as Redis Cluster counts. */
const CRC: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit += 1) crc = (crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)
  return crc
})

/** The part of a key that decides on its slot: what is in its first braces, unless that is nothing; else the whole key. */
export function hashedPart(key: string): string {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  return close > open + 1 ? key.slice(open + 1, close) : key
}

/** The slot of a key, as `CLUSTER KEYSLOT` says it. */
export function slotOf(key: string): number {
  let crc = 0
  for (const byte of Buffer.from(hashedPart(key))) crc = ((crc << 8) & 0xffff) ^ (CRC[(crc >> 8) ^ byte] as number)
  return crc % SLOTS
}

/**
 * A few hash tags among which names are divided. The slots are cut into as many equal parts, one after the other, and each
 * part has one tag: so servers get a share of the tags as they have a share of the slots. A name belongs to the tag of the
 * part that its own slot is in, and names with the same hash tag of their own stay together.
 */
export class HashTags {
  /** `{COUNT.NUMBER}`: by the part of the slots it is for. NUMBER is the first that gives a slot in that part. */
  readonly #tags: readonly string[]
  readonly #count: number

  /** @param count how many: a whole number, at least 1 */
  constructor(count: number) {
    this.#count = count
    const tags: string[] = []
    for (let number = 0, found = 0; found < count; number += 1) {
      const tag = `{${count}.${number}}`
      const part = this.#partOf(tag)
      if (tags[part] !== undefined) continue
      tags[part] = tag
      found += 1
    }
    this.#tags = tags
  }

  of(name: string): string {
    return this.#tags[this.#partOf(name)] as string
  }

  #partOf(key: string): number {
    return Math.floor((slotOf(key) * this.#count) / SLOTS)
  }
}
