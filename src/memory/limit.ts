import { totalmem } from 'node:os'

/** Where nothing limits us, in bytes, and as a divisor of the machine's memory. */
const maxDefault = 2 * 1024 ** 3
const machineShare = 4

/**
 * Bytes that this process may use: the limit of its cgroup, of version 1 or 2, as Node reads it; where
 * there is none, a part of the machine's memory.
 */
export function defaultMemoryLimit(): number {
  const machine = totalmem()
  // Without a limit it is 0, or a number beyond all memories.
  const constrained = process.constrainedMemory()
  if (constrained > 0 && constrained < machine) return constrained
  return Math.min(machine / machineShare, maxDefault)
}
