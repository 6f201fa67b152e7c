import type { ConnectionState } from './cluster-registry.ts'

type Options = { readonly verbose?: boolean; readonly quiet?: boolean }

/** Writes to standard error what happens to a connection; its breaks only with `verbose`, unless they last. */
export function createStateLines({ verbose = false }: Options): (state: ConnectionState) => void {
  const write = (line: string) => void process.stderr.write(`${line}\n`)
  let failures = 0
  return (state) => {
    switch (state.kind) {
      case 'waiting':
        return write(`waiting for up to ${state.limit / 1000} s: ${state.reason.message}`)
      case 'broken':
        if (verbose) write(`the connection broke: ${state.reason.message}`)
        return
      case 'failed':
        failures += 1
        if (verbose || failures === 3)
          write(
            `cannot connect: ${state.reason.message}; next attempt in ${Math.ceil(state.pause / 1000)} s`,
          )
        return
      case 'connected':
        if (failures >= 3 || (verbose && state.isResumed))
          write(state.isResumed ? 'connected again' : 'connected again, by a new session')
        failures = 0
    }
  }
}
