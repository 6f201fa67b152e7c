export { type AppliedObject, applyAll } from './apply-all.ts'
export { type ClusterObjects, createClusterObjects } from './cluster-objects.ts'
export {
  applySimple,
  planSimple,
  type SimplePlan,
  type Users,
} from './install-simple.ts'
export type { KubernetesObject } from './objects.ts'
export { installOperator, uninstallOperator, waitForOperator } from './operator.ts'
export { operatorObjects, operatorPods } from './operator-objects.ts'
export { readPodLogs } from './pod-logs.ts'
export {
  conditionOf,
  describeRegistry,
  getRegistry,
  listRegistries,
  listVisibleRegistries,
  type Registry,
  type RegistryDescription,
  waitForRegistry,
} from './registries.ts'
export {
  authorityKey,
  authorityName,
  loginName,
  ownParts,
  registryObjects,
  registryReference,
  surrogatePods,
} from './registry-objects.ts'
export { waitForDeployment } from './rollout.ts'
export type { MadeChoices } from './simple-choices.ts'
export { simpleDeployment, simplePods } from './simple-objects.ts'
export { uninstallSimple } from './uninstall-simple.ts'
