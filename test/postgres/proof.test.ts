import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Pushes } from '../../dist/backends/postgres/pushes.js'

// Whether LISTEN delivers is judged by a message to oneself, and not by how busy the machine is.

/** Longer than such a message may be under way. */
const LONG_MS = 5_500

/** Nothing runs in this process. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** A client that waits for a lock, and whose message to itself is sent and delivered in this way. */
class Client implements Disposable {
  readonly events: unknown[] = []
  asked = 0
  readonly #pushes: Pushes
  #hear: (payload: string) => void = () => {}

  constructor(send: (deliver: () => void) => Promise<void>) {
    const listen = async (_: string, { onMessage }: { onMessage(payload: string): void }) => {
      this.#hear = onMessage
      return { end: async () => {} }
    }
    const notify = async (_: string, payload: string) => await send(() => this.#hear(payload))
    const news = async () => {
      this.asked += 1
      return []
    }
    this.#pushes = new Pushes(listen, '', { notify, news })
    this.#pushes.open('client', event => this.events.push(event))
    this.#pushes.addWaiting({ name: 'lock', owner: 'somebody' })
  }

  /** Resolves once it does not ask any more, since it hears. */
  async hears(): Promise<void> {
    for (let before = -1; before !== this.asked; await sleep(300)) before = this.asked
  }

  [Symbol.dispose](): void {
    void this.#pushes.close()
  }
}

test('a message that it takes long to send has arrived', async () => {
  using client = new Client(async deliver => {
    await sleep(LONG_MS)
    deliver()
  })
  await client.hears()
  expect(client.events).toEqual([])
})

test('a message that comes while the process stands still has arrived', async () => {
  using client = new Client(async deliver => {
    // It is read when the timers had their turn, as what comes from outside.
    setImmediate(() => setImmediate(deliver))
    setImmediate(() => standStill(LONG_MS))
  })
  await client.hears()
  expect(client.events).toEqual([])
})

test('where none arrives a fault tells so, and the store is asked', async () => {
  using client = new Client(async () => {})
  await expect.poll(() => client.events).toEqual([expect.objectContaining({ type: 'fault' })])
  const before = client.asked
  await expect.poll(() => client.asked).toBeGreaterThan(before + 2)
})
