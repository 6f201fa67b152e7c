export type { Change } from './change.ts'
export { createIndex } from './create-index.ts'
export type { IndexSource } from './index-source.ts'
export type { Index } from './queries.ts'
