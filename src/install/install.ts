export type { AppliedObject } from './apply-all.ts'
export { type ClusterObjects, createClusterObjects } from './cluster-objects.ts'
export {
  applySimple,
  planSimple,
  type SimplePlan,
  type Users,
} from './install-simple.ts'
export { readPodLogs } from './pod-logs.ts'
export { waitForDeployment } from './rollout.ts'
export type { MadeChoices } from './simple-choices.ts'
export { simpleDeployment, simplePods } from './simple-objects.ts'
export { uninstallSimple } from './uninstall-simple.ts'
