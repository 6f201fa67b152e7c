import { callControl } from '../../src/control/control.ts'

type CollectionStep = Readonly<Record<string, unknown>>

/** The steps of a full collection, which is confirmed if it would remove more than a fifth. */
export async function collectSteps(root: string): Promise<readonly CollectionStep[]> {
  const steps = await ask(root, {})
  const asked = steps.find(({ step }) => step === 'confirm')
  return asked === undefined ? steps : ask(root, { confirm: asked['run'] })
}

async function ask(root: string, request: object): Promise<readonly CollectionStep[]> {
  const steps: CollectionStep[] = []
  const body = { full: true, ...request }
  for await (const line of callControl({ root, action: 'collect', body }))
    steps.push(Object(line).data)
  return steps
}
