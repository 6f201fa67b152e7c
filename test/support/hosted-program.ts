// A process that changes a volume as it is told by lines on its standard input, and acknowledges each
// change by a line: `push SEED` prints `done SEED STEP` or `failed SEED STEP CODE` for each step, and
// `end SEED`.

import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createHostedStore } from '../../src/store/store.ts'
import { createTelemetry } from '../../src/telemetry/telemetry.ts'
import { pushOf } from './push-steps.ts'

const root = process.argv[2] ?? ''
const telemetry = createTelemetry({ level: 'error', output: { write: () => {} } })
const store = await createHostedStore({ root, telemetry })
const say = (line: string) => void writeSync(1, `${line}\n`)

async function push(seed: string): Promise<void> {
  for (const step of pushOf(seed).steps) {
    const outcome = await step.run(store).then(
      () => `done ${seed} ${step.name}`,
      (error: unknown) =>
        `failed ${seed} ${step.name}: ${error instanceof Error && 'code' in error ? error.code : error}`,
    )
    say(outcome)
    if (outcome.startsWith('failed')) break
  }
  say(`end ${seed}`)
}

say(`ready ${process.pid}`)
const running: Promise<void>[] = []
for await (const line of createInterface({ input: process.stdin })) {
  const [command, seed = ''] = line.split(' ')
  if (command === 'push') running.push(push(seed))
}
await Promise.all(running)
await store.close()
