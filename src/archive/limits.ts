/** Limits of what an archive may make us read or keep. Sizes in bytes. */
export type Limits = {
  readonly entries: number
  /** Of a name, and of the metadata records of one entry (PAX, GNU long names). */
  readonly name: number
  readonly nameParts: number
  /** Of a JSON document: manifest.json, index.json, configs. */
  readonly document: number
  /** Of one layer, or of the archive, after decompression. */
  readonly size: number
  /** Decompressed bytes for each compressed byte, after the first 64 MiB. gzip cannot reach 1,100. */
  readonly ratio: number
}

const mebibyte = 1024 * 1024

export const defaultLimits: Limits = {
  entries: 100_000,
  name: 64 * 1024,
  nameParts: 255,
  document: 4 * mebibyte,
  size: 1024 * 1024 * mebibyte,
  ratio: 200,
}

/** Decompressed bytes below which the ratio does not matter: zeros compress well. */
export const freeOfRatio = 64 * mebibyte
