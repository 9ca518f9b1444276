import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { expect } from 'vitest'

/** Whether a process is killed at each boundary, or at some of them: all take minutes. */
export const all: boolean = process.env.SOLOIST_KILLS === 'all'

/** What a process said before it ended. */
export interface Told {
  /** Whether the process killed itself; if not, the operation met fewer boundaries than the number it was given. */
  readonly died: boolean
  /** The boundaries it met, in order. */
  readonly places: readonly string[]
  /** What else it said. */
  readonly said: readonly Readonly<Record<string, unknown>>[]
}

/** A process that makes one operation and may kill itself in the middle of it. */
export class Doomed {
  readonly process: ChildProcess
  /** Resolves when it is over. */
  readonly told: Promise<Told>

  constructor(file: string, argument: object) {
    const path = fileURLToPath(new URL(`./children/${file}`, import.meta.url))
    this.process = spawn(process.execPath, [path, JSON.stringify(argument)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.told = this.#read()
  }

  async #read(): Promise<Told> {
    let [text, complaint] = ['', '']
    this.process.stdout?.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    this.process.stderr?.setEncoding('utf8').on('data', chunk => {
      complaint += chunk
    })
    const [code, signal] = await once(this.process, 'close')
    const died = signal === 'SIGKILL'
    expect(died ? [null, 'SIGKILL'] : [0, null], complaint).toEqual([code, signal])
    const records: Record<string, unknown>[] = text
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line))
    const places = records.flatMap(record => (record.places as string[] | undefined) ?? [])
    expect(places.length, 'how many boundaries the process met').toBeGreaterThan(0)
    return { died, places, said: records.filter(record => !('places' in record)) }
  }
}

/**
 * Has a process die at one boundary after the other, until one meets fewer than the number it was given. How many an operation
 * has differs by run: a process that was slow asks once more.
 *
 * @param step every how manieth boundary
 * @param one one process; answers whether it died
 * @returns how many died
 */
export async function killAtEach(
  { first, step, atOnce }: { readonly first: number; readonly step: number; readonly atOnce: number },
  one: (point: number) => Promise<boolean>,
): Promise<number> {
  let [next, killed, lived] = [first, 0, false]
  const worker = async () => {
    while (!lived) {
      const point = next
      next += step
      if (await one(point)) killed += 1
      else lived = true
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return killed
}

/** No key of the prefix is there for ever, apart from these. */
export async function assertAllExpires(
  url: string,
  prefix: string,
  mayStay: (key: string) => boolean = () => false,
): Promise<void> {
  const redis = new Redis(url)
  try {
    for (const key of await redis.keys(`*${prefix}*`)) {
      // A key may run out between the two questions.
      if (!mayStay(key)) expect(await redis.pttl(key), `how long ${key} lives`).not.toBe(-1)
    }
  } finally {
    redis.disconnect()
  }
}
