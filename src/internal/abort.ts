/** Everything that waits for one signal, behind one listener. */
class Watch {
  readonly #signal: AbortSignal
  readonly #runs = new Set<() => void>()

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', this.#fire, { once: true })
  }

  add(run: () => void): void {
    this.#runs.add(run)
  }

  delete(run: () => void): void {
    if (!this.#runs.delete(run) || this.#runs.size > 0) return
    this.#signal.removeEventListener('abort', this.#fire)
    watches.delete(this.#signal)
  }

  readonly #fire = (): void => {
    for (const run of this.#runs) run()
  }
}

const watches = new WeakMap<AbortSignal, Watch>()

/**
 * Calls `run` once when the signal fires, at once when it has fired already. However many wait for one signal, it has
 * one listener: a signal shared by thousands of calls brings no MaxListenersExceededWarning, and joining and leaving
 * cost the same for each of them.
 *
 * @returns stops waiting; the last to stop takes the listener away
 */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  if (signal.aborted) {
    run()
    return () => {}
  }
  const watch = watches.get(signal) ?? new Watch(signal)
  watches.set(signal, watch)
  // A function of its own, so that the same `run` may wait twice.
  const once = () => run()
  watch.add(once)
  return () => watch.delete(once)
}
