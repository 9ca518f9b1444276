const FIRST_MS = 50
const LONGEST_MS = 1_000

/** How long to wait before the next connection, after so many that came to nothing one after the other. */
export function backoffMs(failures: number): number {
  if (failures === 0) return 0
  return Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS) * (0.5 + Math.random() / 2)
}
