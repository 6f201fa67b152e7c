/**
 * Locks by key, within this process. A holder of a shared lock excludes exclusive ones. Locks are
 * granted in the order of requests.
 */
export interface Locks {
  shared<Result>(key: string, action: () => Promise<Result>): Promise<Result>
  exclusive<Result>(key: string, action: () => Promise<Result>): Promise<Result>
}

/** `exclusive`: the last exclusive holder is done. `shared`: all shared holders after it are done. */
type Queue = { exclusive: Promise<unknown>; shared: Promise<unknown>; users: number }

export function createLocks(): Locks {
  const queues = new Map<string, Queue>()

  const queueOf = (key: string): Queue => {
    const queue = queues.get(key) ?? {
      exclusive: Promise.resolve(),
      shared: Promise.resolve(),
      users: 0,
    }
    queues.set(key, queue)
    return queue
  }

  const hold = async <Result>(
    key: string,
    enter: (queue: Queue, done: Promise<void>) => Promise<unknown>,
    action: () => Promise<Result>,
  ): Promise<Result> => {
    const queue = queueOf(key)
    const done = Promise.withResolvers<void>()
    queue.users += 1
    const turn = enter(queue, done.promise)
    try {
      await turn
      return await action()
    } finally {
      done.resolve()
      queue.users -= 1
      if (queue.users === 0) queues.delete(key)
    }
  }

  const enterShared = (queue: Queue, done: Promise<void>): Promise<unknown> => {
    queue.shared = Promise.all([queue.shared, done])
    return queue.exclusive
  }

  const enterExclusive = (queue: Queue, done: Promise<void>): Promise<unknown> => {
    const turn = Promise.all([queue.exclusive, queue.shared])
    queue.exclusive = done
    queue.shared = Promise.resolve()
    return turn
  }

  return {
    shared: (key, action) => hold(key, enterShared, action),
    exclusive: (key, action) => hold(key, enterExclusive, action),
  }
}
