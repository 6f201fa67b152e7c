import type { Finding } from '../../doctor/doctor.ts'

const labels = { ok: 'ok  ', failed: 'FAIL', skipped: '-   ' } as const
const indent = ' '.repeat(23)

/** A finding of the doctor, or of a check of the same form. */
export type AnyFinding = Omit<Finding, 'step'> & { readonly step: string }

/** A finding of the doctor as lines of text. */
export function formatFinding({ step, outcome, message, advice, requests }: AnyFinding): string {
  return [
    `  ${labels[outcome]}  ${step.padEnd(15)}${message}`,
    ...requests.map((request) => `${indent}  ${request}`),
    ...(advice === undefined ? [] : [`${indent}→ ${advice}`]),
    '',
  ].join('\n')
}
