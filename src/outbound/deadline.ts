/**
 * Rejects when `work` does not settle within this many milliseconds. `work` itself is not
 * cancelled.
 */
export function withDeadline<Value>(work: Promise<Value>, milliseconds: number): Promise<Value> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Error(`no answer within ${milliseconds / 1000} seconds`)),
    milliseconds,
  )
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}
