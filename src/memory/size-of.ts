const objectSize = 64
/** Its message aside: the object, and the places in the code that it remembers. */
const errorSize = 1024
const maxDepth = 5

/** About how many bytes of memory a value takes. Strings count twice: they may have wide characters. */
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
