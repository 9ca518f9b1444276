import { MemoryStore, memoryBackend } from 'soloist'
import type { ConformanceSetup, OpenStore } from 'soloist/conformance'
import { ManualClock } from '../support/manual-clock.js'

/** Memory datastores on a clock that stands still until `elapse` moves it: one per prefix, as nothing else is shared. */
export function memoryStores(): Pick<Required<ConformanceSetup>, 'elapse' | 'stepClock'> & {
  readonly open: OpenStore
} {
  const clock = new ManualClock()
  const stores = new Map<string, MemoryStore>()
  return {
    async open({ prefix }) {
      const store = stores.get(prefix) ?? new MemoryStore(clock)
      stores.set(prefix, store)
      return { backend: memoryBackend({ store }) }
    },
    elapse: ms => clock.advance(ms),
    stepClock: ms => clock.suspend(ms),
  }
}
