import { describeWhy, type Why } from '../../why/why.ts'
import { printable } from '../output/printable.ts'

const labels = { ok: 'ok  ', warning: 'WARN', problem: 'FAIL' } as const
const width = 12

/** One sentence for each step; the last line is what happens to the next pull, and what to do. */
export function formatWhy(why: Why, options: { readonly now: number }): string {
  const { steps, conclusion } = describeWhy(why, options)
  const lines = steps.map(({ step, state, message }) =>
    `  ${labels[state]}  ${step.padEnd(width)}${printable(message)}`.trimEnd(),
  )
  return [printable(why.image), ...lines, `→ ${printable(conclusion)}`].join('\n')
}
