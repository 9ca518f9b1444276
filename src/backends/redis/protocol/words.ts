// A command as it goes over the wire, an array of bulk strings: `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`. Lengths are in characters,
// which are bytes where all is ASCII; else the words are given to the client's library, which knows how to send any.

const NEARLY_ALL = 1_100
const BEFORE = Array.from({ length: NEARLY_ALL }, (_, length) => `\r\n$${length}\r\n`)

/** What stands before a word of this length, and so behind the word before it. */
export function before(length: number): string {
  return BEFORE[length] ?? `\r\n$${length}\r\n`
}

export function isAscii(command: string): boolean {
  return Buffer.byteLength(command) === command.length
}

/** The words of a command. */
export function words(command: string): readonly string[] {
  const found: string[] = []
  for (let at = command.indexOf('$'); at >= 0 && at < command.length; ) {
    const start = command.indexOf('\r\n', at) + 2
    const end = start + Number(command.slice(at + 1, start - 2))
    found.push(command.slice(start, end))
    at = end + 2
  }
  return found
}
