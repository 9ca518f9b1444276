import { atEndOfTurn } from '../../../internal/real-time.js'
import type { Runner } from './fused.js'
import type { Text } from './texts.js'
import type { UnderWay } from './under-way.js'
import type { KeyNames } from './words.js'

/** So many leave without waiting for more, so that client and server both have something to do. */
const MOST = 8
/** Of so many bytes at the most: a call should not occupy Redis for long. */
const MOST_LENGTH = 0x10000

interface Call {
  readonly args: readonly unknown[]
  resolve(reply: unknown): void
  reject(error: unknown): void
}

/**
 * Runs a script for several who ask for it in one turn of the event loop by one call, in their order. Each is answered by itself,
 * and fails by itself where the script has failed for it.
 */
export class Gathered {
  readonly #underWay: UnderWay
  #calls: Call[] = []
  #length = 0
  #runner: Runner | null = null
  #text: Text | null = null
  #scheduled = false

  constructor(underWay: UnderWay) {
    this.#underWay = underWay
  }

  run(runner: Runner, text: Text, args: readonly unknown[]): Promise<unknown> {
    const first = this.#calls[0]
    const fits =
      first === undefined ||
      (runner === this.#runner && text === this.#text && namesOf(text).areOfOneQueue(first.args, args))
    if (!fits) this.#leave()
    this.#runner = runner
    this.#text = text
    const promise = new Promise((resolve, reject) => void this.#calls.push({ args, resolve, reject }))
    for (const arg of args) this.#length += (arg as { length?: number } | null)?.length ?? 0
    if (this.#calls.length >= MOST || this.#length > MOST_LENGTH) this.#leave()
    else if (!this.#scheduled) {
      this.#scheduled = true
      atEndOfTurn(this.#atEnd)
    }
    return promise
  }

  readonly #atEnd = () => {
    this.#scheduled = false
    if (this.#calls.length > 0) this.#leave()
  }

  #leave(): void {
    const calls = this.#calls
    this.#calls = []
    this.#length = 0
    this.#underWay.until(call(this.#runner as Runner, this.#text as Text, calls)).then(
      reply => {
        const replies = calls.length === 1 ? [reply] : (reply as unknown[])
        for (const [i, { resolve, reject }] of calls.entries()) {
          const one = replies[i]
          if (one instanceof Error) reject(one)
          else resolve(one)
        }
      },
      error => {
        for (const { reject } of calls) reject(error)
      },
    )
  }
}

async function call(runner: Runner, text: Text, calls: readonly Call[]): Promise<unknown> {
  const words = namesOf(text).wordsOf(calls.map(({ args }) => args))
  return await runner.runCommand(text.name, words)
}

function namesOf(text: Text): KeyNames {
  return text.names as KeyNames
}
