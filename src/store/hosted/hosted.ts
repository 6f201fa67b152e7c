export { createHostedStore } from './create-hosted-store.ts'
export { fingerprintOf } from './fingerprint.ts'
export type {
  HostedBlobs,
  HostedLinks,
  HostedStore,
  TrashEntry,
  TrashRun,
  Upload,
} from './hosted-store.ts'
export { createRunId, isRunId, parseRunId, type RunId } from './run-id.ts'
export { hasContent, isBerths } from './volume-owner.ts'
