import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // One file at a time: every file brings its own servers and processes, and measures times of milliseconds.
    fileParallelism: false,
    dangerouslyIgnoreUnhandledErrors: false,
  },
})
