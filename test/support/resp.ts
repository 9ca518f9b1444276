/** One RESP2 or RESP3 value; numbers, booleans and simple strings are given as the text they travel as. */
export type RespValue = string | null | readonly RespValue[]

export interface RespFrame {
  /** The character it starts with, such as `*` for an array or `>` for a push. */
  readonly type: string
  readonly value: RespValue
  /** The bytes as they came. */
  readonly bytes: Buffer
}

/** Cuts one direction of a connection into whole frames, whatever the chunks it arrives in. */
export class RespReader {
  #rest: Buffer = Buffer.alloc(0)

  /** The frames that this chunk completes. */
  push(chunk: Buffer): RespFrame[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const frames: RespFrame[] = []
    for (;;) {
      const parsed = parse(this.#rest, 0)
      if (parsed === null) return frames
      const bytes = this.#rest.subarray(0, parsed.end)
      frames.push({ type: String.fromCharCode(bytes[0] ?? 0), value: parsed.value, bytes })
      this.#rest = this.#rest.subarray(parsed.end)
    }
  }
}

interface Parsed {
  readonly value: RespValue
  /** Where the next value starts. */
  readonly end: number
}

/** The value at this offset, or `null` when it is not all there yet. */
function parse(bytes: Buffer, offset: number): Parsed | null {
  const lineEnd = bytes.indexOf('\r\n', offset)
  if (lineEnd < 0) return null
  const type = String.fromCharCode(bytes[offset] ?? 0)
  const line = bytes.toString('utf8', offset + 1, lineEnd)
  const start = lineEnd + 2
  switch (type) {
    case '+':
    case '-':
    case ':':
    case '#':
    case ',':
    case '(':
      return { value: line, end: start }
    case '_':
      return { value: null, end: start }
    case '$':
    case '!':
    case '=':
      return parseBulk(bytes, start, Number(line))
    case '*':
    case '~':
    case '>':
      return parseList(bytes, start, Number(line))
    case '%':
      return parseList(bytes, start, Number(line) * 2)
    default:
      throw new Error(`not RESP: ${JSON.stringify(type + line.slice(0, 40))}`)
  }
}

function parseBulk(bytes: Buffer, start: number, length: number): Parsed | null {
  if (length < 0) return { value: null, end: start }
  const end = start + length + 2
  return end > bytes.length ? null : { value: bytes.toString('utf8', start, start + length), end }
}

function parseList(bytes: Buffer, start: number, length: number): Parsed | null {
  if (length < 0) return { value: null, end: start }
  const value: RespValue[] = []
  let end = start
  for (let index = 0; index < length; index++) {
    const item = parse(bytes, end)
    if (item === null) return null
    value.push(item.value)
    end = item.end
  }
  return { value, end }
}
