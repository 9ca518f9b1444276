import { type Clock, MemoryStore, memoryBackend } from 'soloist'
import type { OpenStore } from 'soloist/conformance'

/** Memory datastores on a clock that stands still until `elapse` moves it: one per prefix, as nothing else is shared. */
export function memoryStores(): { readonly open: OpenStore; elapse(ms: number): void } {
  let nowMs = Date.now()
  const clock: Clock = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    setTimer: () => {
      throw new Error('the memory store sets no timers')
    },
  }
  const stores = new Map<string, MemoryStore>()
  return {
    async open({ prefix }) {
      const store = stores.get(prefix) ?? new MemoryStore(clock)
      stores.set(prefix, store)
      return { backend: memoryBackend({ store }) }
    },
    elapse(ms) {
      nowMs += ms
    },
  }
}
