/** One row of a table of advice. Services document their errors loosely: texts decide as well as codes. */
export type AdviceRow<Failure> = {
  readonly when: (failure: Failure) => boolean
  readonly say: string | ((failure: Failure) => string)
}

/** The advice of the first row that applies; undefined where none does. */
export function advise<Failure>(
  rows: readonly AdviceRow<Failure>[],
  failure: Failure,
): string | undefined {
  const row = rows.find(({ when }) => when(failure))
  return typeof row?.say === 'function' ? row.say(failure) : row?.say
}
