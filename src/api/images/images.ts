export { createGetDetails } from './get-details.ts'
export { createGetManifest } from './get-manifest.ts'
