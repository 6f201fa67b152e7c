import type { Why } from './answer.ts'
import type { Step } from './step.ts'

export function usesStep({ uses }: Why): Step | undefined {
  if (uses === undefined) return undefined
  const { problem, unwatched, total, pods, namespaces, nodes, objects } = uses
  const step = 'runs'
  if (unwatched)
    return {
      step,
      state: 'ok',
      message:
        'not known: workloads are not watched (inUse.kubernetes; inUse.enabled of the chart)',
    }
  const stale = problem === undefined ? '' : `; not up to date: ${problem}`
  if (total === 0)
    return {
      step,
      state: problem === undefined ? 'ok' : 'warning',
      message: `no workload names it${stale}`,
    }
  const first = objects.slice(0, 3).map(describeUse)
  const more = total > first.length ? `, and ${total - first.length} more` : ''
  const where = [
    namespaces.length > 0 && `in ${listOf(namespaces, 'namespaces')}`,
    nodes.length > 0 && `on ${listOf(nodes, 'nodes')}`,
  ].filter((part) => part !== false)
  const several = severalImages(uses)
  return {
    step,
    state: problem === undefined && several === '' ? 'ok' : 'warning',
    message: `${pods} pods of ${total} objects ${where.join(' ')}: ${first.join(', ')}${more}${several}${stale}`,
  }
}

/** Some pods started before the tag moved. */
function severalImages({ running }: NonNullable<Why['uses']>): string {
  if (running.length < 2) return ''
  const shown = running.slice(0, 3).map(({ digest, pods }) => `${digest} (${pods})`)
  return `; they run ${running.length} images of the tag: ${shown.join(', ')}${running.length > 3 ? ' and others' : ''}`
}

function describeUse({ kind, namespace, name }: NonNullable<Why['uses']>['objects'][number]) {
  return `${kind} ${[namespace, name].filter(Boolean).join('/')}`
}

/** Up to three names, or how many there are. */
function listOf(names: readonly string[], what: string): string {
  return names.length <= 3 ? names.join(', ') : `${names.length} ${what}`
}
