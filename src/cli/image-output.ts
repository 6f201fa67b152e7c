/** Options of all commands about images. */
export type Printing = {
  readonly output: 'text' | 'json'
  readonly quiet?: boolean
}

export function print<Result>(
  { output }: Printing,
  result: Result,
  describe: (result: Result) => string,
): void {
  process.stdout.write(`${output === 'json' ? JSON.stringify(result) : describe(result)}\n`)
}

/** Aborted by the first signal, so that what is half written is removed; the second one ends the process. */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => controller.abort(new Error(`ended by ${signal}`)))
  return controller.signal
}
