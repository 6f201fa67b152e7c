import { totalmem } from 'node:os'

/** The default without a cgroup limit: a quarter of the machine's memory, at most 2 GiB. */
const maxDefault = 2 * 1024 ** 3
const machineShare = 4

/**
 * Bytes that this process may use: the limit of its cgroup (version 1 or 2, as Node reads it), else a
 * part of the machine's memory.
 */
export function defaultMemoryLimit(): number {
  const machine = totalmem()
  // Without a limit it is 0, or greater than the memory of any machine.
  const constrained = process.constrainedMemory()
  if (constrained > 0 && constrained < machine) return constrained
  return Math.min(machine / machineShare, maxDefault)
}
