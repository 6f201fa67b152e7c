/** distribution-spec has `0-N`, the last byte; some registries write it as RFC 9110 does. */
const grammar = /^(?:bytes[ =])?0-(\d{1,15})$/i

/**
 * Bytes that an upload session has, according to the header Range of an answer. Undefined if it does not
 * say: `0-0` is written for one byte, for none, and by Distribution 2.8 always when it is asked.
 */
export function positionIn(range: string | undefined): number | undefined {
  const last = Number(grammar.exec(range?.trim() ?? '')?.[1] ?? 0)
  return last === 0 ? undefined : last + 1
}
