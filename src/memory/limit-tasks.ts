/** Limits the number of tasks that run at once; the others wait in order. */
export type TaskLimit = <Result>(work: () => Promise<Result>) => Promise<Result>

export function limitTasks(maxAtOnce: number): TaskLimit {
  const waiting: (() => void)[] = []
  let running = 0

  return async (work) => {
    if (running >= maxAtOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
