import type { Telemetry } from '../telemetry/telemetry.ts'

/** Logs a problem once, and again when it has changed or is resolved (undefined). */
export type LogProblem = (subject: string, message: string | undefined) => void

export function createProblemLog({ log }: Pick<Telemetry, 'log'>): LogProblem {
  const logged = new Map<string, string>()
  return (subject, message) => {
    if (logged.get(subject) === message) return
    if (message === undefined) {
      logged.delete(subject)
      log.info({ what: subject }, 'problem resolved')
      return
    }
    logged.set(subject, message)
    log.warn({ what: subject, problem: message }, 'problem')
  }
}

/** Logs what a runtime needs of the administrator once, and again when it has changed (empty: nothing). */
export function createNoteLog({ log }: Pick<Telemetry, 'log'>) {
  const logged = new Map<string, string>()
  return (subject: string, note: string): void => {
    if ((logged.get(subject) ?? '') === note) return
    logged.set(subject, note)
    if (note !== '') log.info({ what: subject, note }, 'note')
  }
}
