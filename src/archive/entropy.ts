/** Bytes of a sample, and the parts of the block that they come from. */
const sampleSize = 16 * 1024
const sampleParts = 16
/** Bits per byte. Compressed or encrypted bytes have 7.98 in such a sample; programs have 6.5, and texts 5. */
const randomFrom = 7.9

/**
 * Whether a block is compressed already, such as an archive in a layer: then compression would take the
 * longest, and gain nothing. Decided by the frequencies of bytes in a sample of it.
 */
export function isRandom(block: Buffer): boolean {
  if (block.length < 2 * sampleSize) return false
  const counts = new Uint32Array(256)
  const partSize = sampleSize / sampleParts
  const distance = Math.floor(block.length / sampleParts)
  for (let part = 0; part < sampleParts; part += 1)
    for (const byte of block.subarray(part * distance, part * distance + partSize))
      counts[byte] = (counts[byte] ?? 0) + 1
  return entropyOf(counts) > randomFrom
}

/** Shannon's, in bits per byte. */
function entropyOf(counts: Uint32Array): number {
  let bits = 0
  for (const count of counts)
    if (count > 0) bits -= (count / sampleSize) * Math.log2(count / sampleSize)
  return bits
}
