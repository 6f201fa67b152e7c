import type { FileDifference } from './use-differences.ts'

const marks = { added: '+', removed: '−', changed: '~' } as const

/** A sign and a word, so that the colour is not all that tells. */
export function ChangeMark({ kind }: { readonly kind: FileDifference['change'] }) {
  return (
    <span class={`mark-${kind}`}>
      <b aria-hidden="true">{marks[kind]}</b> {kind}
    </span>
  )
}
