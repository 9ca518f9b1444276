/** How many rows are put in order and shown at once. */
const MOST = 1_000
/** How long rows may be held back for that, in milliseconds. */
const PATIENCE_MS = 1_000

export interface Batch<T> {
  readonly items: readonly T[]
  /** Whether these are all there are. */
  readonly all: boolean
}

/**
 * What a store lists, in batches: all at once where it is little and comes soon, else as it comes, so that nobody waits
 * for a long list to end and no more than one batch is held in memory. Only a batch with `all` may be empty.
 */
export async function* batches<T>(source: AsyncIterable<T>): AsyncGenerator<Batch<T>, void, undefined> {
  const iterator = source[Symbol.asyncIterator]()
  let first = true
  let next = iterator.next()
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined
      const patience = new Promise<null>(resolve => {
        timer = setTimeout(resolve, PATIENCE_MS, null)
      })
      const items: T[] = []
      try {
        while (items.length < MOST) {
          const step = (await Promise.race([next, patience])) ?? (items.length > 0 ? null : await next)
          if (step === null) break
          if (step.done) {
            if (first || items.length > 0) yield { items, all: first }
            return
          }
          items.push(step.value)
          next = iterator.next()
        }
      } finally {
        clearTimeout(timer)
      }
      yield { items, all: false }
      first = false
    }
  } finally {
    // Of who stopped listening: what is on its way is nobody's any more.
    next.catch(() => {})
    await iterator.return?.()
  }
}
