/** What the workers of this process do when jobs of their queue may have been taken from them, by the qualified name of the queue. */
const looks = new Map<string, Set<() => void>>()

/** @returns ends it */
export function onTakenAway(queue: string, look: () => void): () => void {
  const all = looks.get(queue) ?? new Set()
  looks.set(queue, all.add(look))
  return () => {
    all.delete(look)
    if (all.size === 0 && looks.get(queue) === all) looks.delete(queue)
  }
}

/** Jobs of a queue were removed, those that are run among them: its workers in this process look whether they still have theirs. */
export function tellTakenAway(queue: string): void {
  for (const look of looks.get(queue) ?? []) look()
}
