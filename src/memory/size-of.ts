const objectSize = 64
/** Without its message: the object and its stack trace. */
const errorSize = 1024
const maxDepth = 5

/** Estimated bytes of a value in memory. Characters count as two bytes, since strings may be UTF-16. */
export function sizeOf(value: unknown, depth = 0): number {
  if (typeof value === 'string') return 2 * value.length
  if (typeof value !== 'object' || value === null || depth > maxDepth) return 8
  if (ArrayBuffer.isView(value)) return value.byteLength + objectSize
  if (value instanceof Error)
    return errorSize + 2 * value.message.length + sizeOf(value.cause, depth + 1)
  return Object.values(value).reduce<number>(
    (sum, field) => sum + sizeOf(field, depth + 1),
    objectSize,
  )
}
