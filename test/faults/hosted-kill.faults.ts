import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { checkVisible } from '../support/check-visible.ts'
import { ownDirectory } from '../support/directory.ts'
import { startHostedProcess } from '../support/hosted-process.ts'
import { hostedStore } from '../support/hosted-store.ts'
import { pushOf } from '../support/push-steps.ts'
import { inject } from '../support/strace.ts'

/** Rounds that run at the same time: most of each is waiting for a process to start. */
const lanes = 3
/** Milliseconds: there are some 200 rounds, of a second each. */
const timeout = 600_000

type Scenario = {
  readonly call: string
  /** The process has pushed before: it knows the directories. */
  readonly isWarm: boolean
}

/** Kills a push before one call; returns whether the push came to that call. */
async function killAt(t: TestContext, { call, isWarm }: Scenario, at: number): Promise<boolean> {
  const root = await ownDirectory(t)
  const [before, push] = [pushOf('before'), pushOf('killed')]
  const child = await startHostedProcess(t, root)
  if (isWarm) {
    child.push('before')
    await child.ended('before')
  }
  const fault = await inject(child, 'files', `${call}:signal=SIGKILL:when=${at}`)
  child.push('killed')
  await child.ended('killed')
  await fault.withdraw()
  const wasKilled = !child.isRunning()
  await child.close()

  const { store: next, leftovers } = await hostedStore(t, root)
  const where = `after a kill at ${call} ${at}`
  for (const step of push.steps)
    if (child.lines().includes(`done killed ${step.name}`))
      assert.ok(await step.isDone(next), `${step.name} is there ${where}`)
  await checkVisible(next)
  assert.deepEqual(await leftovers(), [], where)
  for (const step of push.steps) {
    await step.run(next)
    assert.ok(await step.isDone(next), `${step.name} can be pushed again ${where}`)
  }
  for (const step of before.steps)
    if (isWarm && step.name !== 'tag latest')
      assert.ok(await step.isDone(next), `${step.name} of an earlier push is there ${where}`)
  await next.close()
  return wasKilled
}

/** Kills at each call of one name, in turn, until a push ends before it. */
async function killAtEach(t: TestContext, scenario: Scenario): Promise<number> {
  let [next, kills, isOver] = [1, 0, false]
  const lane = async () => {
    while (!isOver) {
      const at = next
      next += 1
      const wasKilled = await killAt(t, scenario, at).catch((error: unknown) => {
        isOver = true
        throw error
      })
      if (wasKilled) kills += 1
      else isOver = true
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return kills
}

// The thread writes to the event loop after each call that it has made, so that a kill at each
// `write` is one between any two calls. The rest is killed before it takes effect.
const scenarios: readonly Scenario[] = [
  { call: 'write', isWarm: true },
  { call: 'rename', isWarm: true },
  { call: 'mkdir', isWarm: false },
  { call: 'fsync', isWarm: false },
]

for (const scenario of scenarios) {
  const { call, isWarm } = scenario
  test(`killed at each ${call} of ${isWarm ? 'a' : 'the first'} push, what was acknowledged is there, and it can be pushed again (C66, H138)`, {
    timeout,
  }, async (t) => {
    const kills = await killAtEach(t, scenario)
    t.diagnostic(`kills: ${kills}`)
    assert.ok(kills >= 6)
  })
}
