import assert from 'node:assert/strict'
import type { Kubernetes } from './kubernetes.ts'
import { until } from './until.ts'

type Condition = {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

/** What a cluster says about its Registries. */
export function readRegistries({ kubectl }: Pick<Kubernetes, 'kubectl'>) {
  /** An object, or a list of them. */
  const read = async (...words: readonly string[]) =>
    JSON.parse(await kubectl(['get', ...words, '-o', 'json']))

  /** By type, of the present spec. */
  const conditions = async (name: string, namespace: string) => {
    const { metadata, status = {} } = await read('registry', name, '-n', namespace)
    assert.equal(status.observedGeneration, metadata.generation)
    const all = (status.conditions ?? []) as readonly Condition[]
    return (type: string) => all.find((one) => one.type === type)
  }
  const untilReady = (name: string, namespace: string) =>
    until(`${namespace}/${name} is ready`, async () => {
      const of = await conditions(name, namespace)
      assert.deepEqual(of('Ready')?.reason, 'Ready', of('Ready')?.message)
    })
  const podSpecOf = async (name: string, namespace: string) =>
    (await read('deployment', `${name}-surrogate`, '-n', namespace)).spec.template.spec
  return { read, conditions, untilReady, podSpecOf }
}
