/** Milliseconds until a question counts as late, and for which others are waited for while one is. */
const maxWait = 2000
const maxWaitAfterLate = 200
/** Late questions; further ones are not asked. */
const maxLate = 8

/** Asks, and returns what is known if the answer is late; the question continues. */
export type Patience = <Value>(ask: () => Promise<Value>, known: Value) => Promise<Value>

/** For questions to a bucket that may be silent: one reader waits for long, and the next ones do not. */
export function createPatience(): Patience {
  let late = 0
  return async (ask, known) => {
    if (late >= maxLate) return known
    const asking = ask()
    const timeout = Promise.withResolvers<'late'>()
    const timer = setTimeout(timeout.resolve, late === 0 ? maxWait : maxWaitAfterLate, 'late')
    try {
      const answer = await Promise.race([asking.then((value) => ({ value })), timeout.promise])
      if (answer !== 'late') return answer.value
    } finally {
      clearTimeout(timer)
    }
    late += 1
    const settled = () => {
      late -= 1
    }
    asking.then(settled, settled)
    return known
  }
}
