import { placeSize, type TableBytes } from './file-table.ts'

/** Writes the rows of a table. */
export interface TableWriter {
  /** The place of the next row, which is written later. */
  reserve(): number
  write(place: number, row: object): void
  /** Rows so far. */
  rows(): number
  finish(): TableBytes
}

/** Bytes; a longer row has a chunk of its own. */
const chunkSize = 1024 * 1024

export function createTableWriter(): TableWriter {
  const chunks: Buffer[] = []
  let chunk = Buffer.alloc(0)
  let used = 0
  let places = new Uint32Array(placeSize * 1024)
  let rows = 0

  const reserve = (): number => {
    if (places.length < placeSize * (rows + 1)) {
      const larger = new Uint32Array(2 * places.length)
      larger.set(places)
      places = larger
    }
    rows += 1
    return rows - 1
  }

  const roomFor = (size: number): void => {
    if (used + size <= chunk.length) return
    chunk = Buffer.allocUnsafeSlow(Math.max(chunkSize, size))
    chunks.push(chunk)
    used = 0
  }

  return {
    reserve,
    write: (place, row) => {
      const json = JSON.stringify(row)
      roomFor(Buffer.byteLength(json))
      const start = used
      used += chunk.write(json, used)
      places.set([chunks.length - 1, start, used], placeSize * place)
    },
    rows: () => rows,
    finish: () => ({ chunks, places: places.slice(0, placeSize * rows) }),
  }
}
