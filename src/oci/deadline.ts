/** Rejects when there is no answer within so many milliseconds; what was asked goes on. */
export function withDeadline<Value>(asking: Promise<Value>, milliseconds: number): Promise<Value> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Error(`no answer within ${milliseconds / 1000} seconds`)),
    milliseconds,
  )
  return Promise.race([asking, late.promise]).finally(() => clearTimeout(timer))
}
