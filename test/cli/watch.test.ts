import { expect, test } from 'vitest'
import { eventually, lines, useBench } from './support.js'

const bench = useBench()

test('--json prints one snapshot a line, until SIGINT', async () => {
  const watching = bench().start('watch', 'job', '--json', '--interval', '100ms')
  await watching.printed('{"locks":[]}\n')
  await bench().hold('other')
  const held = await bench().hold('job')
  await watching.printed(`:${held.pid}:`)
  held.endInput()
  await held.ended
  const seen = lines(watching.stdout).length
  await eventually('it is free again', () => lines(watching.stdout).slice(seen).includes('{"locks":[]}'))
  watching.child.kill('SIGINT')
  const { exitCode, stdout, stderr } = await watching.ended
  expect([exitCode, stderr]).toEqual([130, ''])
  const snapshots = lines(stdout).map(line => JSON.parse(line).locks)
  const found = snapshots.find(locks => locks.length > 0)
  expect(found).toMatchObject([{ name: 'job', holders: [{ owner: expect.stringContaining(`:${held.pid}:`) }] }])
})

test('without a terminal it prints one table after the other, without colours', async () => {
  const held = await bench().hold('job')
  const watching = bench().start('watch', '--interval', '100ms')
  await eventually('two tables', () => watching.stdout.split(`:${held.pid}:`).length > 2)
  watching.child.kill('SIGTERM')
  const { exitCode, stdout } = await watching.ended
  expect(exitCode).toBe(143)
  const [time, title, row, gap] = lines(stdout)
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT[\d:]+Z$/)
  expect(title).toMatch(/^NAME +OWNER/)
  expect(row).toMatch(/^job +/)
  expect(gap).toBe('')
  expect(stdout).not.toContain('\x1b')
})

test('on a terminal it draws a page, ends at q, and gives the terminal back', async () => {
  await bench().hold('job')
  const watching = bench().startOnTerminal('watch', '--interval', '100ms')
  await watching.printed('job')
  watching.type('q')
  const { exitCode, stdout } = await watching.ended
  expect(exitCode).toBe(0)
  expect(stdout.indexOf('\x1b[?1049h')).toBe(0)
  expect(stdout.trimEnd().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true)
})

test('Ctrl-C on a terminal is exit code 130', async () => {
  const watching = bench().startOnTerminal('watch')
  await watching.printed('no lock is in use')
  watching.type('\x03')
  expect((await watching.ended).exitCode).toBe(130)
})

test('ends when nobody reads it any more', async () => {
  const watching = bench().start('watch', '--json', '--interval', '100ms')
  await watching.printed('\n')
  watching.child.stdout?.destroy()
  expect(await watching.ended).toMatchObject({ exitCode: 141, stderr: '' })
})
