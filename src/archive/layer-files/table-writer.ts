import type { TableBytes } from './file-table.ts'

/** Writes the rows of a table. */
export interface TableWriter {
  /** The place of the next row, which is written later. */
  reserve(): number
  write(place: number, row: object): void
  /** Rows so far. */
  rows(): number
  finish(): TableBytes
}

const chunkSize = 4 * 1024 * 1024

export function createTableWriter(): TableWriter {
  const chunks: Buffer[] = []
  let chunk = Buffer.alloc(chunkSize)
  let used = 0
  let before = 0
  const places: number[] = []

  const append = (json: string): void => {
    const size = Buffer.byteLength(json)
    if (used + size > chunk.length) {
      chunks.push(chunk.subarray(0, used))
      before += used
      chunk = Buffer.alloc(Math.max(chunkSize, size))
      used = 0
    }
    used += chunk.write(json, used)
  }

  return {
    reserve: () => places.push(0, 0) / 2 - 1,
    write: (place, row) => {
      const json = JSON.stringify(row)
      append(json)
      const end = before + used
      places[2 * place] = end - Buffer.byteLength(json)
      places[2 * place + 1] = end
    },
    rows: () => places.length / 2,
    finish: () => {
      const json = new Uint8Array(before + used)
      let at = 0
      for (const part of [...chunks, chunk.subarray(0, used)]) {
        json.set(part, at)
        at += part.length
      }
      return { json, places: Uint32Array.from(places) }
    },
  }
}
