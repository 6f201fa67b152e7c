import type { RunId } from '../store/store.ts'

/** Runs that remove more than their share wait for a confirmation. */
export interface Confirmations {
  /**
   * The name by which a plan is to be confirmed. A plan that is part of the last one of its kind has
   * the same name.
   */
  ask(kind: string, plan: readonly string[]): RunId
  /** What the confirmed run may remove. Undefined: no such run waits. */
  confirmed(kind: string, run: RunId): ReadonlySet<string> | undefined
  /** The plan is executed, or not needed any more. */
  clear(kind: string): void
}

export function createConfirmations(createRun: () => RunId): Confirmations {
  const waiting = new Map<string, { readonly run: RunId; readonly plan: ReadonlySet<string> }>()
  return {
    ask: (kind, plan) => {
      const last = waiting.get(kind)
      if (last !== undefined && plan.every((item) => last.plan.has(item))) return last.run
      const run = createRun()
      waiting.set(kind, { run, plan: new Set(plan) })
      return run
    },
    confirmed: (kind, run) => {
      const last = waiting.get(kind)
      return last?.run === run ? last.plan : undefined
    },
    clear: (kind) => void waiting.delete(kind),
  }
}
