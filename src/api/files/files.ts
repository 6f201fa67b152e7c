export { createCompare } from './get-comparison.ts'
export { createListings } from './get-files.ts'
export { createLookInside } from './look-inside.ts'
