import { connect } from 'soloist'
import { describe, expect, test } from 'vitest'
import { formatDuration, LONGEST_DURATION_MS, parseDuration } from '../../dist/cli/output/duration.js'

describe('parseDuration', () => {
  test.each([
    ['250ms', 250],
    ['10s', 10_000],
    ['1.5s', 1_500],
    ['1.1s', 1_100],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['24d', 2_073_600_000],
    ['0s', 0],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration('--wait', text, 0)).toBe(ms)
  })

  test.each(['', 's', '-1s', '+1s', '1 s', ' 1s', '1s ', '1S', '1e3s', '.5s', '1.s', '1m30s', 'forever', 'NaN', '١s'])(
    'refuses %j',
    text => {
      expect(() => parseDuration('--wait', text, 0)).toThrow(/^--wait: .* is no duration/)
    },
  )

  test.each(['10', '0', '1.5'])('refuses the bare number %s and says what to write', text => {
    expect(() => parseDuration('--ttl', text, 1)).toThrow(
      `--ttl: '${text}' has no unit; write ms, s, m, h or d behind it, as in '${text}s'`,
    )
  })

  test.each([
    ['0ms', 1],
    ['0.4ms', 1],
    ['24.1d', 0],
    [`${'9'.repeat(400)}d`, 0],
  ])('refuses %s out of range', (text, least) => {
    expect(() => parseDuration('--ttl', text, least)).toThrow(/is out of range; it may be from \dms to 24d$/)
  })

  test('goes exactly as far as the library does', async () => {
    await using solo = connect('memory:')
    expect(await solo.tryLock('job', { ttlMs: LONGEST_DURATION_MS })).not.toBeNull()
    await expect(solo.tryLock('job2', { ttlMs: LONGEST_DURATION_MS + 1 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
  })
})

test.each([
  [-5, '0ms'],
  [40.4, '40ms'],
  [99, '99ms'],
  [99.5, '0.1s'],
  [400, '0.4s'],
  [9_949, '9.9s'],
  [9_999, '10s'],
  [59_499, '59s'],
  [59_500, '1m00s'],
  [192_000, '3m12s'],
  [3_599_600, '1h00m'],
  [7_500_000, '2h05m'],
  [86_400_000, '1d00h'],
  [371_000_000, '4d07h'],
])('%d ms are shown as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})
