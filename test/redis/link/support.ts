import { once } from 'node:events'
import type { Soloist, SoloistEvents } from 'soloist'

type StoreFault = Extract<SoloistEvents['fault'][0], { during: 'store' }>

/** The next fault that is about no lock. */
export async function storeFault(solo: Soloist): Promise<StoreFault> {
  for (;;) {
    const [fault] = (await once(solo, 'fault')) as SoloistEvents['fault']
    if (fault.during === 'store') return fault
  }
}

/** Notes every fault that is about no lock, from now on, by its message. */
export function storeFaults(solo: Soloist): string[] {
  const messages: string[] = []
  solo.on('fault', fault => {
    if (fault.during === 'store')
      messages.push(fault.error instanceof Error ? fault.error.message : String(fault.error))
  })
  return messages
}

/** Claims the lock, and resolves once the claim waits. */
export async function queued(solo: Soloist, name: string) {
  const waiting = once(solo, 'waiting')
  const granted = solo.lock(name, { ttlMs: 60_000 })
  await Promise.race([waiting, granted])
  return { granted }
}
