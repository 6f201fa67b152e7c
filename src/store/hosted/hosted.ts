export { createHostedStore } from './create-hosted-store.ts'
export type { HostedBlobs, HostedLinks, HostedStore, Upload, UploadStore } from './hosted-store.ts'
export { createRunId, parseRunId, type RunId } from './run-id.ts'
