export { findImage, type Image } from './find-image.ts'
export type { Finding } from './finding.ts'
export { checkNode, type NodeVerdict } from './node.ts'
export { checkUpstream } from './upstream.ts'
