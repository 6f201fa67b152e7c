/** Resolves with the first signal to stop; the second one ends the process. */
export function untilSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      process.once(signal, () => process.exit(1))
      resolve(signal)
    })
  return promise
}
