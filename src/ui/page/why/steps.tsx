import type { Why } from '../../../api/answers.ts'
import { counted } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'

type Step = Why['steps'][number]

const titles = {
  name: 'Name',
  rule: 'Rule',
  upstream: 'Upstream',
  credential: 'Credential',
  digest: 'Digest',
  content: 'Content',
  lifetime: 'Lifetime',
  runs: 'Nodes',
} as const satisfies Record<Step['step'], string>

const states = {
  ok: { icon: 'check', label: 'ok' },
  warning: { icon: 'info', label: 'needs attention' },
  problem: { icon: 'alert', label: 'problem' },
} as const

/** The way from a name to the nodes that run it: a row of boxes, and a list for those who cannot see it. */
export function Steps({ steps, nodes }: Pick<Why, 'steps' | 'nodes'>) {
  return (
    <ol class="steps" aria-label="The way of a pull">
      {steps.map(({ step, state, message }) => (
        <li key={step} class={`step ${state}`}>
          <p class="step-head">
            <Icon name={states[state].icon} />
            <b>{titles[step]}</b>
            <span class={state === 'ok' ? 'hidden' : 'step-state'}>{states[state].label}</span>
          </p>
          <p class="step-text">{message}</p>
          {step === 'runs' && nodes.length > 0 && <Nodes nodes={nodes} />}
        </li>
      ))}
    </ol>
  )
}

/** Nodes that are named. */
const maxNodes = 20

function Nodes({ nodes }: Pick<Why, 'nodes'>) {
  return (
    <ul class="step-nodes" aria-label="Nodes">
      {nodes.slice(0, maxNodes).map((node) => (
        <li key={node} class="badge">
          {node}
        </li>
      ))}
      {nodes.length > maxNodes && <li>and {counted(nodes.length - maxNodes, 'other')}</li>}
    </ul>
  )
}
