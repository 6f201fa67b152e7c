import type { Finding } from '../doctor/doctor.ts'

const signs = { ok: 'ok  ', failed: 'FAIL', skipped: '-   ' } as const
const indent = ' '.repeat(23)

/** A finding of the doctor's, for people. */
export function lines({ step, outcome, message, advice, requests }: Finding): string {
  return [
    `  ${signs[outcome]}  ${step.padEnd(15)}${message}`,
    ...requests.map((request) => `${indent}  ${request}`),
    ...(advice === undefined ? [] : [`${indent}→ ${advice}`]),
    '',
  ].join('\n')
}
