import { connect } from 'soloist'
import { expect, test } from 'vitest'
import { finished, useBench } from './support.js'

const bench = useBench()

test('leader shows who leads, since when, its value, and who waits', async () => {
  await using one = connect(bench().store)
  await using two = connect(bench().store)
  const term = await one.leader('scheduler', { value: 'http://10.0.0.7:3000' }).campaign()
  const next = two.leader('scheduler').campaign()
  await expect.poll(async () => (await bench().get('leader:scheduler'))?.waiting).toBe(1)

  const { exitCode, stdout } = await bench().run('leader', 'scheduler')
  expect(exitCode).toBe(0)
  for (const part of [term.owner, 'http://10.0.0.7:3000', String(term.fence)]) expect(stdout).toContain(part)
  expect(stdout).toMatch(/^since +\d{4}-\d\d-\d\dT.* ago\)$/m)
  expect(stdout).toMatch(/^candidates +1$/m)
  expect(JSON.parse((await bench().run('leader', 'scheduler', '--json')).stdout)).toMatchObject({
    name: 'scheduler',
    owner: term.owner,
    value: 'http://10.0.0.7:3000',
    fence: term.fence,
    candidates: 1,
  })

  expect(await bench().run('leader', 'scheduler', '--resign')).toEqual({
    exitCode: 0,
    stdout: "asked the leader of 'scheduler' to resign\n",
    stderr: '',
  })
  const { fence, owner } = await next
  expect(fence).toBeGreaterThan(term.fence)
  // From then on it can be asked.
  await expect.poll(async () => (await bench().get('leader-stop:scheduler'))?.holders[0]?.owner).toBe(owner)
  expect((await bench().run('leader', 'scheduler', '--resign', '--json')).stdout).toBe('{"asked":true}\n')
})

test('leader tells when nobody leads', async () => {
  expect(await bench().run('leader', 'x')).toEqual({ exitCode: 1, stdout: "nobody leads 'x'\n", stderr: '' })
  expect(await bench().run('leader', 'x', '--json')).toEqual({ exitCode: 1, stdout: 'null\n', stderr: '' })
  expect(await bench().run('leader', 'x', '--resign')).toEqual({
    exitCode: 1,
    stdout: "nobody leads 'x'\n",
    stderr: '',
  })
  const nameless = await finished(bench().startIn({}, ['leader', '']))
  expect(nameless.exitCode).toBe(2)
})
