export { createHostedStore } from './create-hosted-store.ts'
export type { HostedStore, Upload } from './hosted-store.ts'
export { createRunId, parseRunId } from './run-id.ts'
