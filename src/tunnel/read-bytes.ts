/**
 * Memory of bytes that were read from a socket is freed by hand when nothing reads them any more. V8 counts it as
 * external memory, and would collect garbage in its whole heap every 30 MB, which took half of the CPU time.
 *
 * What one read has brought is shared by the parts of several frames: the last of their readers frees it. Weak: of
 * bytes that a reader never discards, the garbage collector frees the memory.
 */
const readers = new WeakMap<ArrayBufferLike, number>()

/** Bytes of one read, of which parts follow. Each `track` and `retain` takes one `discard`. */
export function track(read: Buffer): void {
  if (isWhole(read)) readers.set(read.buffer, 1)
}

/** Another reader of a part. */
export function retain({ buffer }: Buffer): void {
  const count = readers.get(buffer)
  if (count !== undefined) readers.set(buffer, count + 1)
}

/** One reader of a part, or the only one of bytes that are not tracked, needs it no more. */
export function discard(part: Buffer): void {
  const { buffer } = part
  const others = (readers.get(buffer) ?? 1) - 1
  if (others > 0) return void readers.set(buffer, others)
  const isFree = readers.delete(buffer) || isWhole(part)
  if (isFree && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** The danger: others may read the rest of a shared ArrayBuffer, such as Node's pool of small ones. */
function isWhole({ buffer, byteOffset, length }: Buffer): boolean {
  return length > 0 && byteOffset === 0 && length === buffer.byteLength
}
